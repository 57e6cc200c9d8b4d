"""What newsrooms say, as data: months, weekdays, days, hours and phrases of each language.

Words are written as the reader sees them: lower case, without accents, an apostrophe always ``'``. Groups are parted by
commas, the words of a group by bars. Phrases are regular expressions in which a blank stands for any white space.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language. ``months`` has twelve groups, ``weekdays`` seven (Monday first); the rest is one group each.

    ``notice`` opens an embargo statement, ``until`` leads to its time, ``immediate`` says there is no embargo (any more),
    ``event`` is what an embargo may wait for.
    """

    code: str
    months: str
    weekdays: str
    today: str
    tomorrow: str
    tonight: str
    morning: str
    evening: str
    noon: str
    midnight: str
    hour: str
    about: str
    until: str
    filler: str
    notice: str
    immediate: str
    event: str


ENGLISH = Language(
    code="en",
    months="january|jan,february|feb,march|mar,april|apr,may,june|jun,july|jul,august|aug,september|sept|sep,october|oct,"
    "november|nov,december|dec",
    weekdays="monday|mon,tuesday|tues|tue,wednesday|weds|wed,thursday|thurs|thur|thu,friday|fri,saturday|sat,sunday|sun",
    today="today|this morning|this afternoon|this evening",
    tomorrow="tomorrow",
    tonight="tonight",
    morning="in the morning|this morning|morning",
    evening="in the afternoon|in the evening|at night|this afternoon|this evening|afternoon|evening|tonight|night",
    noon="noon|midday",
    midnight="midnight",
    hour="hours|hrs|hr|h|o'clock",
    about="approximately|approx|about|around|circa|roughly|expected|tbc|to be confirmed",
    until="until|till|til|to|before|after|not before|lift|lifts|lifted|end|ends|expire|expires",
    filler="at|on|of|by|from|the|and|or|is|in|it|which|for|release|released|publication|broadcast|use|time|date|day|a|not|any|strictly|"
    "under|be|that|will|this|local|u s|us|uk|usa|new zealand|strict|media|press|embargo|embargoed|hours|hrs|territory|"
    "equivalent|i e|online|also|next|coming|with|all|coverage|distribution|news",
    notice=r"embargo(?:ed|s)?\b|hold (?:for|until) release|held for release"
    r"|not to be (?:published|released|broadcast|used) (?:before|until)"
    r"|(?:not for|no) (?:publication|release|broadcast|use)\b(?=[^.\n]{0,60}\b(?:before|until))"
    r"|do not (?:publish|release|broadcast|distribute|use) (?:before|until)"
    r"|for release:? (?=(?:at|on|after|until|\d|[a-z]+day))",
    immediate=r"for immediate (?:release|use|publication|distribution|broadcast)"
    r"|no embargo\b|not embargoed|no longer (?:under )?embargo(?:ed)?"
    r"|embargo (?:has been |is )?(?:now |hereby )?lifted|embargo [^.\n]{0,60}\bis (?:now |hereby )?lifted"
    r"|(?:is|are|we're|have|has) (?:now |hereby )?(?:lifting|lifted) the embargo",
    event=r"delivery|delivered|further notice"
    r"|(?:the |its |this )+(?:conclusion|completion|end)\b(?! of)"
    r"|(?:goes|go|comes|is|are) (?:out|live|up|posted|sent|signed|issued)\b|(?:begins?|starts?|speaks?|delivers?|signs?)\b"
    r"|(?:the |its |this )*(?:end|conclusion|completion|close|start|beginning|finish) (?:of )?"
    r"(?:the |this |our |today's |president's )*(?:\w+ )??"
    r"(?:call|briefing|speech|remarks|conversation|spray|meeting|session|conference|event|discussion|address|ceremony)"
    r"|its (?:conclusion|end|completion)|(?:the |this )?\w+'s (?:conclusion|end|completion)"
    r"|(?:the )?(?:announcement|launch|presentation|tabling|unveiling)\b|it (?:concludes|ends|is over|finishes)"
    r"|(?:this|the) \w+ (?:concludes|ends|is over|finishes|has ended)"
    r"|(?:you are |we are |they are )?(?:wheels (?:down|up)|land(?:s|ed|ing)?)"
    r"|(?:it|this|the \w+) is (?:published|delivered|released|announced)|(?:its )?publication online",
)

GERMAN = Language(
    code="de",
    months="januar|janner|jan,februar|feber|feb,marz|maerz|mrz,april|apr,mai,juni|jun,juli|jul,august|aug,september|sept|sep,"
    "oktober|okt,november|nov,dezember|dez",
    weekdays="montag,dienstag,mittwoch,donnerstag,freitag,samstag|sonnabend,sonntag",
    today="heute",
    tomorrow="morgen",
    tonight="heute abend",
    morning="morgens|vormittags|fruh",
    evening="nachmittags|abends",
    noon="12 uhr mittags|mittags|mittag",
    midnight="mitternacht",
    hour="uhr|h",
    about="etwa|circa|ca|gegen|ungefahr|voraussichtlich",
    until="bis|ab|vor|bis zum",
    filler="am|um|den|der|dem|zum|zur|und|des|von|frei|nicht|fur|die|das|veroffentlichung|morgenzeitungen",
    notice=r"sperrfrist(?:ende)?\b|sperrvermerk\b|gesperrt bis|frei ab|frei fur|nicht vor (?=\w*tag|\d)"
    r"|veroffentlichung (?:erst )?ab",
    immediate=r"keine sperrfrist|zur sofortigen (?:veroffentlichung|verwendung|freigabe)|ab sofort frei"
    r"|sperrfrist (?:ist )?aufgehoben",
    event=r"(?:ende|beginn|schluss) (?:der|des) \w+|redebeginn|auf weiteres",
)

FRENCH = Language(
    code="fr",
    months="janvier|janv,fevrier|fevr|fev,mars,avril|avr,mai,juin,juillet|juil,aout,septembre|sept,octobre|oct,novembre|nov,"
    "decembre|dec",
    weekdays="lundi,mardi,mercredi,jeudi,vendredi,samedi,dimanche",
    today="aujourd'hui|ce matin|cet apres-midi",
    tomorrow="demain",
    tonight="ce soir",
    morning="du matin|ce matin|matin",
    evening="du soir|de l'apres-midi|cet apres-midi|ce soir|soir",
    noon="midi",
    midnight="minuit",
    hour="heures|heure|h",
    about="environ|vers",
    until="jusqu'a|jusqu'au|jusqu'aux|avant|a partir de",
    filler="a|le|la|les|au|du|de|et|l'|des",
    notice=r"ne pas (?:publier|diffuser) avant|non publiable avant",
    immediate=r"pour (?:diffusion|publication) immediate|sans embargo|diffusion immediate",
    event=r"(?:le )?prononce|la fin d[eu] (?:la |l')?\w+|nouvel ordre",
)

SPANISH = Language(
    code="es",
    months="enero|ene,febrero|feb,marzo|mar,abril|abr,mayo|may,junio|jun,julio|jul,agosto|ago,septiembre|setiembre|sept,"
    "octubre|oct,noviembre|nov,diciembre|dic",
    weekdays="lunes,martes,miercoles,jueves,viernes,sabado,domingo",
    today="hoy|esta manana|esta tarde",
    tomorrow="manana",
    tonight="esta noche",
    morning="de la manana|esta manana",
    evening="de la tarde|de la noche|esta tarde|esta noche",
    noon="mediodia",
    midnight="medianoche",
    hour="horas|hrs|hora|h",
    about="aproximadamente|hacia|sobre",
    until="hasta|antes|a partir",
    filler="a|las|la|los|el|de|del|y|dia|hora|horas|con",
    notice=r"embargad[oa]s?\b|no (?:publicar|difundir) (?:antes|hasta)",
    immediate=r"para (?:publicacion|difusion) inmediata|difusion inmediata",
    event=r"(?:el |la )?(?:momento de la |momento de su )?(?:intervencion|lectura|pronunciacion)"
    r"|(?:el )?final de(?:l| la) \w+|nuevo aviso",
)

ITALIAN = Language(
    code="it",
    months="gennaio|gen,febbraio|feb,marzo|mar,aprile|apr,maggio|mag,giugno|giu,luglio|lug,agosto|ago,settembre|sett|set,"
    "ottobre|ott,novembre|nov,dicembre|dic",
    weekdays="lunedi,martedi,mercoledi,giovedi,venerdi,sabato,domenica",
    today="oggi|stamattina|questa mattina",
    tomorrow="domani",
    tonight="stasera|questa sera",
    morning="di mattina|del mattino|mattina|stamattina|questa mattina",
    evening="di sera|del pomeriggio|sera|pomeriggio",
    noon="mezzogiorno",
    midnight="mezzanotte",
    hour="ore|h",
    about="circa|verso",
    until="fino|prima|a partire|sino",
    filler="a|al|alle|dalle|delle|di|del|della|il|la|le|ore|e|da|giorno|dell'",
    notice=r"non (?:diffondere|pubblicare) prima",
    immediate=r"per (?:diffusione|pubblicazione) immediata|senza embargo",
    event=r"(?:al )?momento della pronuncia|la pronuncia|(?:alla )?fine del(?:la|l')? ?\w+|nuovo avviso",
)

LANGUAGES = (ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN)

NUMBERS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
"""The hours in English words."""

TWISTS = (
    r"(?:minutes?|hours?|days?|weeks?|months?) (?:of|after|before|from|later|prior|following|ahead)\b"
    r"|half past|quarter (?:to|past)|(?:a )?week (?:on|today|tomorrow)|(?:[a-z]+day )week\b|weekend"
    r"|(?:the )?end of (?:the )?(?:day|week|month|quarter|year|business|trading|[a-z]+day)\b"
    r"|(?:easter|good|whit|palm) (?=[a-z]+day\b)"
    r"|(?:all|each|every|respective|different) (?:\w+ )?(?:time ?zones?|countr(?:y|ies)|regions?|markets?)"
    r"|(?:first|second|third|fourth|last) (?=[a-z]+day\b)|eve of|at the (?:earliest|latest)|(?:no|not) later than"
    r"|for (?:print|broadcast|broadcasters|online|radio|television|tv|web|newspapers)\b|whichever|unless|depending|subject to"
    r"|close of (?:markets?|business|trading)"
    r"|(?:tage?|stunden?|minuten|jours?|heures?|dias?|giorni|ore) (?:nach|vor|apres|despues|dopo)\b"
)
"""What makes a time beside it mean another one, or no single one."""

PLACES: dict[str, str] = {
    # What people put before "time" or after "in", where it is not the city of an IANA key.
    "eastern": "America/New_York",
    "us eastern": "America/New_York",
    "u.s. eastern": "America/New_York",
    "central": "America/Chicago",
    "mountain": "America/Denver",
    "pacific": "America/Los_Angeles",
    "west coast": "America/Los_Angeles",
    "east coast": "America/New_York",
    "washington": "America/New_York",
    "washington, d.c.": "America/New_York",
    "washington, dc": "America/New_York",
    "washington dc": "America/New_York",
    "d.c.": "America/New_York",
    "dc": "America/New_York",
    "boston": "America/New_York",
    "atlanta": "America/New_York",
    "miami": "America/New_York",
    "houston": "America/Chicago",
    "dallas": "America/Chicago",
    "san diego": "America/Los_Angeles",
    "san francisco": "America/Los_Angeles",
    "seattle": "America/Los_Angeles",
    "hawaii": "Pacific/Honolulu",
    "ottawa": "America/Toronto",
    "montreal": "America/Toronto",
    "uk": "Europe/London",
    "british": "Europe/London",
    "irish": "Europe/Dublin",
    "ireland": "Europe/Dublin",
    "german": "Europe/Berlin",
    "germany": "Europe/Berlin",
    "munich": "Europe/Berlin",
    "frankfurt": "Europe/Berlin",
    "french": "Europe/Paris",
    "strasbourg": "Europe/Paris",
    "italian": "Europe/Rome",
    "roma": "Europe/Rome",
    "milan": "Europe/Rome",
    "spanish": "Europe/Madrid",
    "peninsular": "Europe/Madrid",
    "geneva": "Europe/Zurich",
    "geneve": "Europe/Zurich",
    "genf": "Europe/Zurich",
    "swiss": "Europe/Zurich",
    "davos": "Europe/Zurich",
    "the hague": "Europe/Amsterdam",
    "bruxelles": "Europe/Brussels",
    "l'est": "America/Toronto",
    "central european": "Europe/Paris",
    "eastern european": "Europe/Athens",
    "kyiv": "Europe/Kyiv",
    "israel": "Asia/Jerusalem",
    "israeli": "Asia/Jerusalem",
    "tel aviv": "Asia/Jerusalem",
    "japan": "Asia/Tokyo",
    "korea": "Asia/Seoul",
    "china": "Asia/Shanghai",
    "beijing": "Asia/Shanghai",
    "india": "Asia/Kolkata",
    "indian": "Asia/Kolkata",
    "new delhi": "Asia/Kolkata",
    "delhi": "Asia/Kolkata",
    "mumbai": "Asia/Kolkata",
    "hanoi": "Asia/Ho_Chi_Minh",
    "nz": "Pacific/Auckland",
    "new zealand": "Pacific/Auckland",
    "wellington": "Pacific/Auckland",
    "canberra": "Australia/Sydney",
    "australian eastern": "Australia/Sydney",
    "wa": "Australia/Perth",
    "abuja": "Africa/Lagos",
    "pretoria": "Africa/Johannesburg",
    "cape town": "Africa/Johannesburg",
}

OTHERS = (
    # Straight before the word embargo: another kind of it, a finished one, someone else's, or a mere condition.
    r"(?:\b(?:arms?|weapons?|oil|gas|fuel|energy|trade|grain|wheat|wool|beef|price|economic|financial|food|exports?|imports?|"
    r"military|review|sales?|book|game|cuban?|iran(?:ian)?|iraqi?|russian?|eu|un|sanctions|usual|standard|partial|total|full|"
    r"breach of|broke(?:n)? (?:an|the)|break(?:ing)? (?:an|the)|briser l'|years of|d'|de l'|dell'|notificacion de|"
    r"(?:when|if|once|whether) (?:an|any|the)|until (?:an|the))"
    r"(?: and \w+)?[\s-]*(?:an|the)?\s*"
    r"|\b(?:was|were|had been|would be|being|not|originally)\s+(?:\w+ly )?(?:under )?(?:strict )?(?:an )?)$"
)
EXAMPLES = (
    r"\b(?:for example|example|e\.g\.|for instance|wording|embargo polic(?:y|ies)|our (?:standard|policy|usual))\b"
)
REPORTS = (
    # Anywhere before it in a sentence of prose: a rule, an example, a report, or another document.
    r"\b(?:polic(?:y|ies) (?:is|are|on|for|of)|generally|usually|normally|typically|always|as a rule|journals|authors|"
    r"guidelines?|"
    r"(?:any|each|every|our)(?: \w+){0,2} journal|(?<!we\s)said|says|told|reported(?:ly)?|according to|sent out|announced|"
    r"broke|broken|violat\w+|breach|the rest of|other papers|remaining|registering|oral presentations|data ?set|repository|"
    r"thesis|version \d|the book|the film|the game|a study|an article|"
    r"will be (?:distributed|sent|handed|issued|supplied))\b"
)
AFTERWARDS = (
    # Straight after it: a policy, a waiting period, an embargo on something or against someone.
    r"\s*(?:policy|policies|rules?|(?:time|date|period)\s+is)\b|\s+(?:was|were|had|would)\b"
    r"|:?\s*\d+ (?:monate?|wochen?|tage?|jahre?)\b"
    r"|\s+(?:(?:press|media|news|advance|review|online) )*"
    r"(?:briefings?|conferences?|copies|copy|calls?|versions?|webinars?|previews?|access|interviews?)\b"
    r"(?![^.\n]{0,40}\buntil)"
    r"|[^.]{0,60}\b(?:generally|usually|normally|typically)\b|[^.\n]{0,80}\?"
    r"|\s+(?:on|against|by)"
    r" (?!publication|delivery|the (?:below|attached)|this|release|till|until|[^.\n]{0,20}(?:\d|[a-z]+day))"
)
OURS = (
    # Before it in a sentence of prose: this very text, or the call it records.
    r"\b(?:this|these|today's|tonight's|our|all|everything|attached|below|enclosed|following|both|your|the)\b[^.?!]{0,80}?"
    r"\b(?:calls?|briefings?|releases?|statements?|texts?|reports?|materials?|information|documents?|speech|transcripts?|"
    r"remarks|address|fact ?sheets?|charts?|contents?|sections?|portion|interviews?|messages?|preview|conversation|"
    r"announcement|conference|news|story|article|paper|first|second|half|policy|audio|video|images?|pictures?|figures|findings|"
    r"publication|ground rules|discussion|event|session)\b"
    r"|\b(?:it|this|they|these)(?:'s| is| are| will| remains?)\b|\bwe(?:'ll| will| are|'re)\b|\bcontents?\b"
    r"|\b(?:on|off) (?:deep )?(?:background|the record)\b|\battribut|please (?:note|observe|respect)"
    r"|(?:respect|observe|honou?r) (?:the|this|our)\b"
    r"|\b(?:texto|testo|texte|messaggio|mensaje|audio|rapport|discours|communique|comunicato|comunicado|intervento|"
    r"discorso|discurso|allocution|relazione|rapporto|informe|estudio|studio|etude)\b"
)
LABELS = "under|strict|strictly|sous|sotto|bajo|con|unter|da|media|press|news|publication|release|statement|the|an|please note"
"""Words before embargo that belong to it."""
