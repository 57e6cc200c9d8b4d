"""What running text says about its own embargo. Every statement here is our own."""

# A local time has no zone of its own here, and newsrooms write typographic marks: that is what is tested.
# ruff: noqa: DTZ001, RUF001

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.embargo import Kind, read
from scheduler.embargo.zones import instants, keys, zone

LONDON, NEW_YORK, PARIS, BERLIN = "Europe/London", "America/New_York", "Europe/Paris", "Europe/Berlin"
SYDNEY, AUCKLAND = "Australia/Sydney", "Pacific/Auckland"
ISSUED = date(2027, 6, 2)  # a Wednesday


def answer(text, *, default_zone=LONDON, issued=ISSUED):
    """The kind, or the instant of a fixed embargo as ``YYYY-MM-DDTHH:MM`` in UTC."""
    reading = read(text, default_zone=default_zone, issued=issued)
    return f"{reading.lift.at:%Y-%m-%dT%H:%M}" if reading.lift else str(reading.kind)


@pytest.mark.parametrize(
    ("text", "default_zone", "instant"),
    [
        ("EMBARGOED UNTIL 00:01 GMT, THURSDAY 4 MARCH 2027", LONDON, "2027-03-04T00:01"),
        ("EMBARGOED UNTIL 8:30 A.M. EST, TUESDAY, DECEMBER 7, 2027", NEW_YORK, "2027-12-07T13:30"),
        ("EMBARGOED UNTIL 9 A.M. EDT, FRIDAY, JULY 9, 2027", NEW_YORK, "2027-07-09T13:00"),
        ("The report is embargoed until 5 p.m. ET on Thursday, April 8, 2027.", LONDON, "2027-04-08T21:00"),
        (
            "FOR RELEASE AT 10:00 A.M. EDT, FRIDAY, JUNE 4, 2027\nWHOLESALE TRADE, APRIL 2027",
            NEW_YORK,
            "2027-06-04T14:00",
        ),
        ("For release: 8:30 a.m. (EDT) Friday, June 4, 2027", NEW_YORK, "2027-06-04T12:30"),
        ("HOLD FOR RELEASE UNTIL 6 a.m. Pacific Time, June 3, 2027", NEW_YORK, "2027-06-03T13:00"),
        ("Embargo Date: 25 August 2027 16:00 GMT", LONDON, "2027-08-25T16:00"),
        ("Embargoed until 2027-06-07 06:00 UTC", LONDON, "2027-06-07T06:00"),
        ("EMBARGO 2027-06-07T06:00+02:00", LONDON, "2027-06-07T04:00"),
        ("Embargoed until 2027-06-07T06:00Z", PARIS, "2027-06-07T06:00"),
        ("Embargoed until 0930 JST 1 July 2027", "Asia/Tokyo", "2027-07-01T00:30"),
        ("EMBARGOED UNTIL 1930 HRS IST, 14 AUGUST 2027", "Asia/Kolkata", "2027-08-14T14:00"),
        (
            "Please note this report is strictly embargoed until 6am GMT+2 on Thursday 3 June 2027",
            BERLIN,
            "2027-06-03T04:00",
        ),
        ("Under embargo: Monday 7th June 2027, 11am Paris time", LONDON, "2027-06-07T09:00"),
        ("EMBARGOED UNTIL 9:00 A.M. EASTERN DAYLIGHT TIME ON JUNE 7, 2027", NEW_YORK, "2027-06-07T13:00"),
        (
            "This call is under embargo until Saturday, June 12th, 7:00 a.m. British Summer Time.",
            NEW_YORK,
            "2027-06-12T06:00",
        ),
        ("This call is embargoed until 5:00 a.m. local time in Rome, tomorrow.", NEW_YORK, "2027-06-03T03:00"),
        ("Embargoed until noon America/Chicago on 7 June 2027", LONDON, "2027-06-07T17:00"),
        ("Embargoed until 4pm AEST Friday 8 January 2027", "Australia/Brisbane", "2027-01-08T06:00"),
        ("EMBARGOED UNTIL 8.00pm est, Saturday 7 August 2027", SYDNEY, "2027-08-07T10:00"),
        ("The embargo lifts at 10 am CEST on 7 June 2027.", PARIS, "2027-06-07T08:00"),
        ("Please do not publish before 10:00 CEST on 7 June 2027.", PARIS, "2027-06-07T08:00"),
        ("EMBARGOED UNTIL 7:30 P.M., E.S.T., DECEMBER 8, 2027", NEW_YORK, "2027-12-09T00:30"),
        ("EMBARGOED UNTIL 9AM EASTERN DAYLIGHT SAVING TIME, JUNE 7, 2027", LONDON, "2027-06-07T13:00"),
        ("EMBARGOED UNTIL MONDAY 7 JUNE 2027, 6:00 AM NEW YORK", LONDON, "2027-06-07T10:00"),
        ("Embargo lifts 7 June 2027, 5 a.m. Washington, D.C. time", LONDON, "2027-06-07T09:00"),
        ("And we will lift the embargo tomorrow morning at 8:00 a.m. Eastern.", NEW_YORK, "2027-06-03T12:00"),
    ],
)
def test_stated_zone(text, default_zone, instant):
    """A statement that names its day, time and zone means that instant."""
    assert answer(text, default_zone=default_zone, issued=None if "2027" in text else ISSUED) == instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("STRICTLY EMBARGOED UNTIL 00.01HRS ON FRIDAY 4 JUNE 2027", "2027-06-03T23:01"),
        ("Embargo: 00.01 Friday 4 June 2027", "2027-06-03T23:01"),
        ("NOT FOR PUBLICATION OR BROADCAST BEFORE 22:30 ON SATURDAY 5 JUNE 2027", "2027-06-05T21:30"),
        ("NOT FOR RELEASE BEFORE 7 a.m. on Friday 4 June 2027", "2027-06-04T06:00"),
        ("Embargoed until 1201am Friday 4 June 2027", "2027-06-03T23:01"),
        ("EMBARGO 5.OOPM\nFriday 4 June, 2027\nSURVEY PUBLISHED", "2027-06-04T16:00"),
        ("EMBARGOED UNTIL 8.P.M.\n4 JUNE 2027", "2027-06-04T19:00"),
        ("EMBARGOED FOR RELEASE AFTER 7:00 A.M.\n\n, FRIDAY, JUNE 4, 2027", "2027-06-04T06:00"),
        ("Embargoed until 24:00 on 4 June 2027", "2027-06-04T23:00"),
        ("Embargoed until 12am 4 June 2027", "2027-06-03T23:00"),
        ("Embargoed until 12pm 4 June 2027", "2027-06-04T11:00"),
        ("Embargoed until 12 noon on 4 June 2027", "2027-06-04T11:00"),
        ("Embargoed until 6pm 4/6/2027", "2027-06-04T17:00"),
        ("Embargoed until 21.00 (9pm) 4 June 2027", "2027-06-04T20:00"),
        ("Embargoed until AB-27-0061 7:45 a.m. Friday, June 4, 2027", "2027-06-04T06:45"),
        ("EMBARGOED UNTIL 8.30 A.M. FRIDAY 4 JUNE\nCHECK AGAINST DELIVERY", "2027-06-04T07:30"),
        ("EMBARGOED AGAINST DELIVERY UNTIL 1.30pm 4 June 2027", "2027-06-04T12:30"),
        ("EMBARGOED UNTIL 7TH JUNE AT 06:00", "2027-06-07T05:00"),
        ("Embargoed until 7 o'clock in the evening of the 6th of June", "2027-06-06T18:00"),
        ("EMBARGOED UNTIL 10 A.M. THURSDAY", "2027-06-03T09:00"),
        ("Embargoed until this Wednesday, 11 p.m.", "2027-06-02T22:00"),
        ("EMBARGOED UNTIL 9.30AM TOMORROW", "2027-06-03T08:30"),
        ("Embargoed until 6pm today (Wednesday 2 June)", "2027-06-02T17:00"),
        ("STRICTLY EMBARGOED UNTIL MIDNIGHT TONIGHT", "2027-06-02T23:00"),
        ("Embargoed until 9am Wednesday", "2027-06-02T08:00"),
        ("EMBARGOED UNTIL 9AM ON NEW YEAR'S DAY", "2028-01-01T09:00"),
        ("2 June 2027\nEMBARGOED UNTIL 6PM", "2027-06-02T17:00"),
        ("2 June 2027\n1015 hrs Embargo\nA new bridge", "2027-06-02T09:15"),
        ("LEEDS (Monday, June 7) Embargoed Until 4:10 p.m.", "2027-06-07T15:10"),
        ("EMBARGOED: 2300 London time", "2027-06-02T22:00"),
        ("Embargoed until 1 January at 9am", "2028-01-01T09:00"),
        ("Today's call is on background and embargoed until 5:00 a.m.", "2027-06-03T04:00"),
        (
            "Via Teleconference 3:04 P.M.\nOur call is embargoed until 4:45, and so are the tables.",
            "2027-06-02T15:45",
        ),
        ("This call is embargoed until 5 o'clock tomorrow morning.", "2027-06-03T04:00"),
        ("This call is embargoed until 2 p.m., when the Minister speaks.", "2027-06-02T13:00"),
        ("EMBARGOED UNTIL 12.00 NOON FRIDAY 4 JUNE", "2027-06-04T11:00"),
        ("This call is embargoed until 10 a.m. tomorrow. On Friday 4 June the Minister speaks.", "2027-06-03T09:00"),
    ],
)
def test_day_of_issue_settles(text, instant):
    """What a statement leaves out is settled by the newsroom's zone and the day of issue, as a careful reader would."""
    assert answer(text) == instant


@pytest.mark.parametrize(
    ("text", "default_zone", "instant"),
    [
        ("The call is embargoed until 5:00 a.m. Eastern, 11:00 a.m. Rome time tomorrow.", NEW_YORK, "2027-06-03T09:00"),
        ("Embargoed until 3pm London time / 10am New York time on 7 June 2027", LONDON, "2027-06-07T14:00"),
        (
            "Embargoed until 6:00 a.m. on Saturday, June 5th, in Bangkok, and 7:00 p.m. on Friday, June 4th, in Washington.",
            NEW_YORK,
            "2027-06-04T23:00",
        ),
        ("Embargoed until 6:00 a.m. Israel time tomorrow, which is 11:00 p.m. Eastern.", NEW_YORK, "2027-06-03T03:00"),
        (
            (
                "EMBARGO:\n22.15 IN LONDON (BST or GMT+1), FRIDAY 4 JUNE 2027\n"
                "09:15 IN WELLINGTON (NZST), SATURDAY 5 JUNE 2027"
            ),
            LONDON,
            "2027-06-04T21:15",
        ),
        ("Embargoed until 9 June at 23:01 BST / 18:01 EDT / 10 June 00:01 CEST", LONDON, "2027-06-09T22:01"),
        ("EMBARGO: Monday, June 7, 2027, 9:00 AM ET / 2:00 PM BST / 3:00 PM CEST", NEW_YORK, "2027-06-07T13:00"),
        (
            "This speech is embargoed until June 7, 2027, 1:20 PM EST (7:20 AM HST)",
            "Pacific/Honolulu",
            "2027-06-07T17:20",
        ),
        ("Embargoed news release: 11:01am (NZ time) and 12:01am (UK time) 4 June 2027", AUCKLAND, "2027-06-03T23:01"),
    ],
)
def test_equivalents_that_agree(text, default_zone, instant):
    """Times for several places are one embargo when they are one instant, and settle a misnamed zone."""
    assert answer(text, default_zone=default_zone) == instant


@pytest.mark.parametrize(
    ("text", "default_zone", "instant"),
    [
        ("Sperrfrist: 4. Juni 2027, 11 Uhr", BERLIN, "2027-06-04T09:00"),
        ("SPERRFRIST: Freitag, 4.6.2027, 11.00 Uhr MESZ", LONDON, "2027-06-04T09:00"),
        ("Sperrfrist: heute, 17.30 Uhr", BERLIN, "2027-06-02T15:30"),
        ("Fotos:\nFrei ab Freitag, 4. Juni 2027, 12.00 Uhr.", BERLIN, "2027-06-04T10:00"),
        ("Sous embargo jusqu’au vendredi 4 juin 2027 à 10h30", PARIS, "2027-06-04T08:30"),
        ("NE PAS DIFFUSER AVANT le vendredi 4 juin 2027 à midi (heure de Paris)", LONDON, "2027-06-04T10:00"),
        ("Embargo : ce soir, 20 heures.", PARIS, "2027-06-02T18:00"),
        (
            "INFORME EMBARGADO HASTA LAS 13:30 H (HORA PENINSULAR), VIERNES 4 DE JUNIO DE 2027",
            LONDON,
            "2027-06-04T11:30",
        ),
        (
            "Este texto está embargado hasta las 10:00 horas del viernes 4 de junio de 2027",
            "Europe/Madrid",
            "2027-06-04T08:00",
        ),
        ("Sotto embargo fino alle ore 10.00 di venerdì 4 giugno 2027", "Europe/Rome", "2027-06-04T08:00"),
        ("Si prega di non pubblicare prima delle 18.15 del 4 giugno 2027", "Europe/Rome", "2027-06-04T16:15"),
    ],
)
def test_other_languages(text, default_zone, instant):
    """German, French, Spanish and Italian statements are read alike."""
    assert answer(text, default_zone=default_zone) == instant


@pytest.mark.parametrize(
    ("text", "default_zone", "reason"),
    [
        ("EMBARGOED UNTIL 9 A.M. EDT, TUESDAY, JUNE 4, 2027", NEW_YORK, "weekday and the date disagree"),
        ("EMBARGOED UNTIL 9 A.M. EST, FRIDAY, JUNE 4, 2027", NEW_YORK, "name of the zone"),
        ("EMBARGOED UNTIL 9 A.M. EASTERN STANDARD TIME ON JUNE 4, 2027", NEW_YORK, "name of the zone"),
        ("Embargoed until 4pm AEST Friday 8 January 2027", SYDNEY, "name of the zone"),
        ("Embargoed until 00.01hrs IST on Friday 5 March 2027", "Europe/Dublin", "name of the zone"),
        ("Embargoed until 1am BST Sunday 28 March 2027", LONDON, "name of the zone"),
        ("Embargoed until 1.30am Sunday 28 March 2027", LONDON, "skip"),
        ("Embargoed until 1.30am Sunday 31 October 2027", LONDON, "twice"),
        ("EMBARGOED UNTIL MIDNIGHT, 4 JUNE 2027", LONDON, "start or the end"),
        ("EMBARGOED UNTIL MIDNIGHT.", LONDON, "start or the end"),
        ("EMBARGOED UNTIL 4 JUNE 2027", LONDON, "no time"),
        ("Frei ab Freitag, 4. Juni 2027.", BERLIN, "no time"),
        ("EMBARGOED UNTIL 9.30 ON FRIDAY 4 JUNE 2027", LONDON, "a.m. nor p.m."),
        ("This call is embargoed until 4:15 Japan Standard Time tomorrow.", NEW_YORK, "a.m. nor p.m."),
        ("EMBARGOED UNTIL 9 PM (APPROX)", LONDON, "approximate"),
        ("EMBARGOED UNTIL 9.30AM TOMORROW (FRIDAY)", LONDON, "weekday and the date disagree"),
        ("EMBARGOED UNTIL 9.30AM TOMORROW, 5 JUNE", LONDON, "disagree"),
        ("Embargoed until 3pm London time / 11am New York time on 7 June 2027", LONDON, "same instant"),
        ("EMBARGOED UNTIL 6 PM FOR PRINT AND UNTIL 9 PM FOR BROADCAST, JUNE 4, 2027", NEW_YORK, "several"),
        ("Embargo: 0001 hrs Sunday 6 June for print; 0001 hrs Monday 7 June for broadcast.", LONDON, "several"),
        ("EMBARGOED UNTIL CLOSE OF MARKETS, FRIDAY 4 JUNE 2027", LONDON, "no time"),
        ("Embargoed until 5pm two days before the summit on 8 June 2027", LONDON, "mean another"),
        ("Embargoed until one hour after 5pm 8 June 2027", LONDON, "mean another"),
        ("Embargoed until 10 a.m. on the day of the speech", LONDON, "mean another"),
        ("EMBARGOED UNTIL 9AM, EASTER SUNDAY", LONDON, "mean another"),
        ("EMBARGOED UNTIL MONDAY WEEK 9AM", LONDON, "mean another"),
        ("This call is embargoed until the end of the day.", LONDON, "not until when"),
        ("EMBARGOED UNTIL 9AM XYZT 4 JUNE 2027", LONDON, "mean another"),
        ("EMBARGOED UNTIL 9AM 4 JUNE 2027 IN SMALLVILLE", LONDON, "mean another"),
        ("EMBARGOED UNTIL 9AM (YES, THAT EARLY AGAIN) ON 4 JUNE", LONDON, "mean another"),
        ("EMBARGOED UNTIL 12.00 MIDNIGHT FRIDAY 4 JUNE", LONDON, "start or the end"),
        ("EMBARGOED UNTIL 9AM ON 5 OR 6 JUNE 2027", LONDON, "figures"),
        ("EMBARGO MON 7 JU NE\n8. 40am\n4 June 2027", LONDON, "no time"),
        ("EMBARGOED UNTIL 9AM 31 APRIL 2027", LONDON, "no calendar"),
        ("Embargoed until 6am 03/04/2027", "America/Toronto", "two ways"),
        ("Embargoed until 9am next Friday", LONDON, "this week or the next"),
        ("Embargoed until 9am, 30 May", LONDON, "shortly before"),
        ("This call is embargoed until 10 a.m.", LONDON, "the next"),
        ("EMBARGOED FOR RELEASE: TBD", LONDON, "not until when"),
        ("EMBARGO NO: 1 2/9 4\nA LECTURE", LONDON, "no time"),
        ("Embargoed until 9am, Tuesday 11 May 2027", LONDON, "before the day of issue"),
        ("For immediate release at 9am tomorrow", LONDON, "immediate release, and a time"),
        ("This call is embargoed until 9.", LONDON, "not until when"),
        ("Our press conference under embargo takes place on 4 June, 14:00 CEST", PARIS, "does not say"),
        ("FOR IMMEDIATE RELEASE\nEMBARGOED UNTIL 9am 4 June 2027", LONDON, "says that there is none"),
        (
            "Embargoed until 5pm 8 June 2027.\n\nText.\n\nEmbargoed until 9pm 8 June 2027.",
            LONDON,
            "do not say the same",
        ),
        (
            "The first part is embargoed until the call ends. The second is embargoed until 2 p.m. today.",
            LONDON,
            "do not say",
        ),
        ("EMBARGOED UNTIL 10 A.M. FRIDAY, JUNE 4, 2027, OR UNTIL DELIVERY", LONDON, "a time and an event"),
    ],
)
def test_a_person_is_asked(text, default_zone, reason):
    """A time that is missing, impossible, doubled, contradicted or loosely said is shown to a person with the reason."""
    reading = read(text, default_zone=default_zone, issued=ISSUED)
    assert reading.kind is Kind.AMBIGUOUS
    assert reason in reading.reason.lower()
    assert reading.lift is None
    assert reading.words
    assert reading.words in text


def test_candidates_come_with_the_question():
    """A question names the instants that may be meant, likeliest first."""
    reading = read("Embargoed until 1.30am Sunday 31 October 2027", default_zone=LONDON, issued=ISSUED)
    assert [lift.at for lift in reading.candidates] == [
        datetime(2027, 10, 31, 0, 30, tzinfo=UTC),
        datetime(2027, 10, 31, 1, 30, tzinfo=UTC),
    ]
    reading = read("EMBARGOED UNTIL 9 A.M. EDT, TUESDAY, JUNE 4, 2027", default_zone=NEW_YORK)
    assert [lift.local.day for lift in reading.candidates] == [4, 1]


@pytest.mark.parametrize(
    "text",
    [
        "EMBARGOED UNTIL DELIVERY",
        "Embargoed until delivery\n4.15pm 2 June 2027",
        "Embargoed until delivery, about 8pm",
        "For release on delivery, expected at 10:00 a.m. EDT, June 4, 2027",
        "Under embargo until further notice",
        "What we say here is on the record, embargoed until its conclusion.",
        "This briefing is embargoed until the end of the call.",
        "The briefing is embargoed until the conclusion.",
        "This call is held under an embargo until the President's statement goes out tomorrow morning.",
        "These pictures are embargoed until we are wheels down in Nairobi.",
        "Sperrfrist: Redebeginn",
        "Allocution du recteur : sous embargo jusqu’au prononcé",
        "Discorso della rettrice, embargo fino alla fine della cerimonia",
    ],
)
def test_events(text):
    """An embargo until delivery, the end of a call or further notice waits for a person, whatever time is expected."""
    assert answer(text) == "event"


@pytest.mark.parametrize(
    "text",
    [
        "FOR IMMEDIATE RELEASE\nJune 2, 2027",
        "NO EMBARGO",
        "Keine Sperrfrist – zur sofortigen Veröffentlichung",
        "PER DIFFUSIONE IMMEDIATA",
        "PARA PUBLICACIÓN INMEDIATA",
        "Dear editors, the embargo on our atlas is lifted as of now.",
        "EMBARGO LIFTED: our first notice was embargoed until Friday, 4 June 2027, 15:00 CEST.",
        "This call is embargoed until the end of the call.\n\nThanks all. The embargo is now lifted.",
    ],
)
def test_immediate(text):
    """A text for immediate release, or whose embargo is lifted already, has none."""
    assert answer(text) == "immediate"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A new bridge opens at 9 a.m. on Friday, June 4, 2027.",
        "The EU imposed an arms embargo in 1994, extended until 12 October 2027 at 10:00.",
        "The council prolonged the oil embargo until 1 December 2027, 00:00 CET.",
        "The island has lived under an embargo since 1962.",
        "A spokesman said the report was embargoed until 5 p.m. on Friday, June 4, 2027.",
        "The book was embargoed for sale until midnight on Monday.",
        "The Skyward review embargo will lift on Friday, June 4, 2027 at 9 am PDT.",
        "Our embargo policy: papers are embargoed until 4 pm ET on the day of publication.",
        "Example: a release is issued under embargo until June 4, 2027 at 9 am ET.",
        "Or will they find out tomorrow at 9 a.m. when the embargo breaks?",
        "Sin embargo, la ministra hablará mañana a las 10:00.",
        "El embargo es una medida por la que se retienen bienes del deudor.",
        "Sperrfrist: 3 Wochen für neue Anträge.",
        "Es gilt das gesprochene Wort.",
        "Check against delivery",
        "Embargoed copies are available to journalists from 9 a.m. on 10 June 2027.",
        "The film is due for release on Friday 4 June 2027 at 9am.",
        "Eintritt frei ab 18 Uhr, Freitag, 4. Juni 2027.",
        "Not for immediate release.",
    ],
)
def test_no_embargo_of_its_own(text):
    """Trade embargoes, reports of others' embargoes, policies, examples and "sin embargo" set nothing."""
    assert answer(text) == "none"


TRANSCRIPT = """61 F
Springfield
Thursday, May 20, 2027
Home News Officials Preview the Harbor Dialogue

MODERATOR:  Good morning, everyone.  Again, this call is on background.  This call is embargoed until tomorrow,
which is Tuesday, October 6th at 9:00 a.m., so please keep that in mind.  The harbor opened on March 3.

QUESTION:  Will the arms embargo be discussed?

MODERATOR:  Thank you all.  Just to remind, this call is embargoed until tomorrow morning, Tuesday, October 6th, at 9:00 a.m.
"""


def test_transcript_without_year_or_zone():
    """A transcript that names no year and no zone goes to a person, with the likeliest reading and why it is that."""
    reading = read(TRANSCRIPT, default_zone=NEW_YORK, seen=date(2027, 5, 20))
    assert reading.kind is Kind.AMBIGUOUS
    assert str(reading.candidates[0]) == "2026-10-06 09:00 America/New_York (2026-10-06 13:00 UTC)"
    assert "No year and no zone are stated; two statements agree" in reading.reason
    assert "2026 is the latest not after 2027-05-20" in reading.reason
    assert len(reading.statements) == 2


def test_places_of_statements():
    """Each statement is found with its words as they stand, their line and their column."""
    for statement in read(TRANSCRIPT, default_zone=NEW_YORK).statements:
        place = statement.place
        assert TRANSCRIPT[place.start : place.end] == statement.words
        assert statement.words.startswith("embargoed until tomorrow")
        assert TRANSCRIPT.split("\n")[place.line - 1][place.column - 1 :].startswith("embargoed")


def test_year_by_the_day_of_issue_or_now():
    """A day without a year is the first on or after the day of issue; without one, the nearest to now is proposed."""
    reading = read(TRANSCRIPT, default_zone=NEW_YORK, issued=date(2026, 10, 5))
    assert reading.lift.at == datetime(2026, 10, 6, 13, tzinfo=UTC)
    reading = read(TRANSCRIPT, default_zone=NEW_YORK, now=datetime(2021, 1, 1, tzinfo=UTC))
    assert reading.kind is Kind.AMBIGUOUS
    assert reading.candidates[0].local == datetime(2020, 10, 6, 9)
    assert read(TRANSCRIPT, default_zone=NEW_YORK).candidates == ()
    later = read(TRANSCRIPT, default_zone=NEW_YORK, issued=date(2027, 5, 20))
    assert later.kind is Kind.AMBIGUOUS
    assert "the weekday and the date disagree" in later.reason.lower()


def test_no_zone_and_no_day_of_issue():
    """A whole date needs no day of issue, and a time without a zone is one of the newsroom's own, said aloud."""
    reading = read("EMBARGOED UNTIL 00:01 FRIDAY 4 JUNE 2027", default_zone=LONDON)
    assert reading.kind is Kind.FIXED
    assert "read in Europe/London" in reading.reason
    assert reading.lift.at == datetime(2027, 6, 3, 23, 1, tzinfo=UTC)


WALLS = st.datetimes(min_value=datetime(1975, 1, 1), max_value=datetime(2099, 1, 1)).map(
    lambda wall: wall.replace(second=0, microsecond=0)
)
FORMS = [
    "Embargoed until {0:%I}:{0:%M} {0:%p} ({key}) on {0:%A}, {0:%B} {0.day}, {0.year}",
    "EMBARGO: {0.day} {0:%B} {0.year}, {0:%H}:{0:%M} hrs {key}",
    "STRICTLY EMBARGOED UNTIL {0:%H}{0:%M} HRS {key} {0:%a} {0.day} {0:%b} {0.year}",
    "Not for publication before {0:%I}.{0:%M}{0:%p} {key}, {0.year}-{0:%m}-{0:%d}",
    "This report is under embargo until {0:%B} {0.day}, {0.year} at {0:%I}:{0:%M} {0:%p} {key}.",
]


@given(wall=WALLS, key=st.sampled_from(sorted(keys())), form=st.sampled_from(FORMS))
@settings(max_examples=300)
def test_any_local_time_in_any_zone_and_form(wall, key, form):
    """Any local time in any IANA zone, in any of the forms, is read as that instant, or asked about when that isn't one."""
    reading = read(form.format(wall, key=key), default_zone=LONDON)
    found = instants(wall, zone(key))
    if len(found) == 1:
        assert reading.kind is Kind.FIXED
        assert reading.lift.at == found[0]
    else:
        assert reading.kind is Kind.AMBIGUOUS
        assert len(reading.candidates) == 2


@given(
    issued=st.dates(min_value=date(1975, 1, 1), max_value=date(2099, 1, 1)),
    ahead=st.integers(0, 6),
    hour=st.integers(1, 11),
)
def test_weekdays_count_from_the_day_of_issue(issued, ahead, hour):
    """A weekday without a date is the first one from the day of issue on, that day included."""
    day = issued + timedelta(days=ahead)
    reading = read(f"EMBARGOED UNTIL {hour} P.M. GMT {day:%A}", default_zone=LONDON, issued=issued)
    assert reading.lift.at == datetime(day.year, day.month, day.day, hour + 12, tzinfo=UTC)


PIECES = st.sampled_from(
    [
        *(
            "embargoed",
            "EMBARGO",
            "until",
            "9am",
            "9.30",
            "tomorrow",
            "Friday",
            "4 June",
            "2027",
            "31/12/99",
            "EST",
            "in London",
        ),
        *(
            "(",
            ")",
            "\n",
            "\n\n",
            ".",
            "midnight",
            "delivery",
            "or",
            "for immediate release",
            "lifted",
            "the",
            "this call is",
        ),
        *(
            "24:00",
            "29 February",
            "Sperrfrist",
            "hasta",
            "12",
            "GMT+1",
            "time",
            "İ",
            "sin embargo",
            "32nd",
            "9999",
            "today",
        ),
    ]
)


@given(
    text=st.text(max_size=300) | st.lists(PIECES, max_size=40).map(" ".join),
    issued=st.none() | st.dates(),
    seen=st.none() | st.dates(),
    now=st.none() | st.datetimes(timezones=st.just(UTC)),
)
@settings(max_examples=500)
def test_random_text_never_raises(text, issued, seen, now):
    """No text makes the reader fail, and no answer but a fixed one carries an instant."""
    reading = read(text, default_zone=NEW_YORK, issued=issued, seen=seen, now=now)
    assert (reading.lift is not None) == (reading.kind is Kind.FIXED)
    assert reading.reason.endswith(".")


@pytest.mark.parametrize(
    "unit",
    [
        "embargoed until ",
        "embargoed until 9am Friday.\n",
        "embargo ",
        " ",
        "under ",
        "not for publication ",
        "İ",
        "1",
        "the end of ",
    ],
)
def test_linear_time(unit):
    """Five megabytes of anything are read in under two seconds."""
    text = "Embargoed until " + unit * (5_000_000 // len(unit))
    started = time.process_time()
    reading = read(text, default_zone=LONDON, issued=ISSUED)
    assert time.process_time() - started < 2
    assert reading.kind in {Kind.AMBIGUOUS, Kind.NONE}
