"""Who may read what is written, whatever the umask; what others can read is said; templates reach for nothing else."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from contextlib import contextmanager

import pytest
from conftest import SETTINGS, SQLITE, Office, eventually
from jinja2.sandbox import SecurityError

from scheduler import config, permissions, shipped
from scheduler.errors import FileRefused, RenderRefused, SiteRefused, StoreRefused
from scheduler.outlets.mail import transport
from scheduler.outlets.site import Site
from scheduler.parts import build
from scheduler.render.templates import environment
from scheduler.store import open_store

UMASKS = pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777])


@contextmanager
def under(umask):
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder):
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path != folder
    }


@UMASKS
def test_the_store_and_its_backup_are_their_owners_alone(tmp_path, umask):
    """The database, its write-ahead log, its index and a backup have mode 0600, and the folders made for it 0700."""
    with under(umask):
        store = open_store(f"sqlite:///{tmp_path}/deep/var/embargo.db")
        with store.read():
            store.backup(tmp_path / "deep" / "copy.db")
            found = modes(tmp_path)
        store.close()
    assert found == {
        "deep": 0o700,
        "deep/copy.db": 0o600,
        "deep/var": 0o700,
        **dict.fromkeys([f"deep/var/embargo.db{end}" for end in ("", "-shm", "-wal")], 0o600),
    }


@UMASKS
def test_a_maildir_is_its_owners_alone(tmp_path, umask):
    """A Maildir that is made, its parts and the mails in it can be read by the service's user alone."""
    with under(umask):
        way = transport("maildir:var/mail", base=tmp_path)
        message = b"Message-ID: <a@example.org>\r\n\r\nText.\r\n"
        sent = asyncio.run(way.send(message=message, sender="a@example.org", recipient="b@example.org"))
    name = sent.rpartition(" ")[2]
    folders = dict.fromkeys(["var", "var/mail", "var/mail/cur", "var/mail/new", "var/mail/tmp"], 0o700)
    assert modes(tmp_path) == folders | {f"var/mail/new/{name}": 0o600}


@UMASKS
def test_any_web_server_may_read_the_site(tmp_path, umask):
    """The site's folders have mode 0755 and its files 0644, also those above that are made with it."""
    with under(umask):
        Site(tmp_path / "srv" / "public").put("releases/a.html", b"x")
    folders = dict.fromkeys(["srv", "srv/public", "srv/public/releases"], 0o755)
    assert modes(tmp_path) == folders | {"srv/public/releases/a.html": 0o644}


@UMASKS
def test_a_first_configuration_is_its_owners_alone(tmp_path, umask):
    """`embargo init` writes settings of mode 0600, which will hold secrets, and a records folder of mode 0700."""
    command = [sys.executable, "-m", "scheduler", "init", str(tmp_path / "a" / "newsroom")]
    done = subprocess.run(command, umask=umask, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = modes(tmp_path)
    schema = {"a/newsroom/config.schema.json": 0o644}
    private = {"a/newsroom/config.yaml": 0o600, "a/newsroom/records": 0o700}
    assert found == {"a": 0o755, "a/newsroom": 0o755, **schema, **private}


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_service_leaves_nothing_that_others_may_read_but_the_site(house, umask):
    """Whatever the umask of the service, all it writes beside its store is its own and all of its site is everybody's."""
    with under(umask):
        house.start()
    house.record("open", embargo="none")
    eventually(lambda: len(list((house.folder / "var" / "mail").glob("new/*"))) == 2, "its mails")
    eventually(lambda: b"<item>" in house.site("rss.xml") and house.site("releases/open.html"), "the site")
    assert house.run("backup", "var/copy.db").returncode == 0
    found = modes(house.folder)
    for top, folder, file in (("var", 0o700, 0o600), ("public", 0o755, 0o644)):
        below = {name: mode for name, mode in found.items() if name.partition("/")[0] == top and ".tmp" not in name}
        assert len(below) > 5
        wanted = {name: folder if (house.folder / name).is_dir() else file for name in below}
        assert below == wanted


def test_a_folder_keeps_what_the_one_above_hands_down(tmp_path):
    """A folder that is made below one with the setgid bit keeps it; one that is there keeps its mode."""
    tmp_path.chmod(0o2750)
    with under(0o077):
        permissions.folder(tmp_path / "new", 0o755)
    permissions.folder(tmp_path, 0o700)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o2755
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o2750


def test_what_others_can_reach_is_named_with_the_command_that_mends_it(tmp_path):
    """A store, folder or secret that others can reach is named with its mode and a command; running it silences the warning."""
    store = open_store(f"sqlite:///{tmp_path}/var/embargo.db")
    store.close()
    (tmp_path / "var" / "embargo.db.old").touch(0o640)
    (tmp_path / "the records").mkdir()
    (tmp_path / "the records").chmod(0o750)
    (tmp_path / "smtp").touch()
    (tmp_path / "smtp").chmod(0o604)
    private = [tmp_path / "var" / "embargo.db", tmp_path / "the records", tmp_path / "smtp", tmp_path / "not there"]
    found = permissions.loose(private)
    assert [(each.path.name, each.mode) for each in found] == [
        ("embargo.db.old", 0o640),
        ("the records", 0o750),
        ("smtp", 0o604),
    ]
    records = f"{tmp_path}/the records"
    assert str(found[1]) == (
        f"{records} has mode 0750: others than its owner can reach it. To mend it: chmod go-rwx '{records}'"
    )
    assert modes(tmp_path)["smtp"] == 0o604, "only its owner changes it"
    for each in found:
        subprocess.run(each.remedy, shell=True, check=True)
    assert permissions.loose(private) == []


@pytest.mark.parametrize(("mode", "found"), [(0o2770, []), (0o775, [0o775])])
def test_a_records_folder_may_be_shared_with_its_group(tmp_path, mode, found):
    """A folder that its group may write to is shared on purpose; that all others may look into it is still said."""
    tmp_path.chmod(mode)
    assert [each.mode for each in permissions.loose([tmp_path])] == found


def test_a_link_to_a_loose_file_is_as_loose(tmp_path):
    """A link is judged by what it leads to; one that leads to nothing, or in a circle, is nothing to warn of."""
    (tmp_path / "store").touch()
    (tmp_path / "store").chmod(0o644)
    (tmp_path / "link").symlink_to("store")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "round").symlink_to("round")
    [found] = permissions.loose([tmp_path / "link", tmp_path / "nowhere", tmp_path / "round"])
    assert found.path == tmp_path / "store"


def test_a_store_behind_a_link_is_one_store(tmp_path):
    """A store may be a link to a file elsewhere; whatever it is called by, its log and its lock lie beside the file itself."""
    open_store(f"sqlite:///{tmp_path}/disk/real.db").close()
    (tmp_path / "embargo.db").symlink_to(tmp_path / "disk" / "real.db")
    store = open_store(f"sqlite:///{tmp_path}/embargo.db")
    with store.read():
        assert store.path == tmp_path / "disk" / "real.db"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "embargo.db"]
        assert (tmp_path / "disk" / "real.db-wal").exists()
    store.close()


def test_a_store_that_is_a_link_to_nothing_is_refused(tmp_path):
    """A link to nothing, most likely a disk that is not mounted, is refused: an empty store there would lose what is held."""
    (tmp_path / "embargo.db").symlink_to(tmp_path / "disk" / "real.db")
    with pytest.raises(StoreRefused, match=r"is a link to .*/disk/real\.db, where there is nothing\. Mount or restore"):
        open_store(f"sqlite:///{tmp_path}/embargo.db")
    assert [path.name for path in tmp_path.iterdir()] == ["embargo.db"]


def test_a_file_in_place_of_the_stores_folder_is_refused(tmp_path):
    """Where a file has the name of the store's folder, the store says so in a sentence."""
    (tmp_path / "var").touch()
    with pytest.raises(StoreRefused, match="can't be opened: File exists"):
        open_store(f"sqlite:///{tmp_path}/var/embargo.db")


@pytest.mark.parametrize("same", [True, False])
def test_a_link_in_place_of_a_file_of_the_site_is_replaced(tmp_path, same):
    """A link in place of a feed or page is replaced by the file, though it led to the same bytes; what it led to stays."""
    (tmp_path / "private").write_bytes(b"new" if same else b"old")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "rss.xml").symlink_to(tmp_path / "private")
    site = Site(tmp_path / "public")
    assert not site.has("rss.xml")
    assert site.put("rss.xml", b"new")
    assert not (tmp_path / "public" / "rss.xml").is_symlink()
    assert (tmp_path / "private").read_bytes() == (b"new" if same else b"old")
    assert site.has("rss.xml")


def test_a_pipe_in_place_of_a_file_of_the_site_is_replaced(tmp_path):
    """A pipe in the site folder keeps no release waiting: it is replaced."""
    site = Site(tmp_path)
    os.mkfifo(tmp_path / "rss.xml")
    assert site.put("rss.xml", b"new")
    assert (tmp_path / "rss.xml").read_bytes() == b"new"


def test_a_link_in_place_of_a_folder_of_the_site_is_refused(tmp_path):
    """A link in place of a folder within the site is refused: nothing is written, listed or taken away elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.html").write_bytes(b"theirs")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "releases").symlink_to(tmp_path / "elsewhere")
    site = Site(tmp_path / "public")
    for act in (
        lambda: site.put("releases/a.html", b"ours"),
        lambda: site.remove("releases/a.html"),
        lambda: site.has("releases/a.html"),
    ):
        with pytest.raises(SiteRefused, match=r"public/releases: This is a link.* Put a folder in its place"):
            act()
    assert modes(tmp_path / "elsewhere").keys() == {"a.html"}
    assert (tmp_path / "elsewhere" / "a.html").read_bytes() == b"theirs"


def test_the_site_folder_itself_may_be_a_link(tmp_path):
    """The site folder may be a link to where a web server looks."""
    (tmp_path / "www").mkdir()
    (tmp_path / "public").symlink_to("www")
    Site(tmp_path / "public").put("releases/a.html", b"x")
    assert (tmp_path / "www" / "releases" / "a.html").read_bytes() == b"x"


REACHING = {
    "a dunder attribute": "{{ release.__class__.__mro__ }}",
    "one by index": '{{ release["__class__"] }}',
    "one by filter": '{{ release|attr("__class__") }}',
    "one by map": '{{ [release]|map(attribute="__init__.__globals__")|list }}',
    "a private attribute": "{{ url._private }}",
    "the environment's globals": "{{ url.__globals__ }}",
    "a module": '{% import "os" as os %}',
    "part of a module": '{% from "os" import system %}',
    "a file": '{% include "/etc/passwd" %}',
    "a file above": '{% include "../secret.txt" %}',
    "a parent that is none": '{% extends "/etc/passwd" %}',
}


def office_with(folder, **templates):
    """The pipeline's parts with templates of one's own; raises what the service would end with at its start."""
    (folder / "templates").mkdir()
    for name, source in templates.items():
        (folder / "templates" / name.replace("_", ".")).write_text(source)
    file = folder / "config.yaml"
    file.write_text(SETTINGS.format(port=8080, database=SQLITE) + "templates: templates/\n")
    return build(config.read(file))


@pytest.mark.parametrize("name", ["release_html", "mail_txt"])
@pytest.mark.parametrize("source", REACHING.values(), ids=REACHING)
def test_a_template_that_reaches_out_is_refused_at_the_start(tmp_path, name, source):
    """A template that reaches for attributes of Python, modules or files, in any branch, is refused with its name and line."""
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(RenderRefused) as caught:
        office_with(tmp_path, **{name: f"{{% if release.title == 'Never' %}}\n{source}\n{{% endif %}}\n"})
    assert f"/templates/{name.replace('_', '.')}:2: " in str(caught.value)
    assert "SecurityError" in str(caught.value) or "TemplateNotFound" in str(caught.value)


def test_a_part_that_a_template_includes_may_reach_no_further(tmp_path):
    """A part of one's own is looked through with the template that includes it; what may be missing may be missing."""
    source = '{% include "none.txt" ignore missing %}{% include "part.txt" %}'
    with pytest.raises(RenderRefused, match=r"/part.txt:2: SecurityError in `\{\{ release._slots \}\}`"):
        office_with(tmp_path, mail_txt=source, part_txt="Part\n{{ release._slots }}")


def test_what_only_shows_when_it_runs_is_refused_by_the_sandbox():
    """What can't be read from a template, a name put together or a generator's frame, is refused by the sandbox as it runs."""
    made = environment()
    for source in (
        '{{ release[("_" * 2) ~ "class" ~ ("_" * 2)] }}',
        '{{ "{0.__class__}".format(release) }}',
        '{{ (release|map("upper")).gi_frame }}',
        '{{ release.append("x") }}',
    ):
        with pytest.raises(SecurityError):
            made.from_string(source).render(release=["a title"])


def test_a_template_that_reaches_out_ends_the_start(house):
    """The service does not start with such a template: one sentence names it and its line."""
    (house.folder / "templates").mkdir()
    (house.folder / "templates" / "mail.html").write_text("<p>\n{{ release.__dict__ }}\n")
    house.config.write_text(house.config.read_text() + "templates: templates/\n")
    done = house.run("run")
    assert done.returncode == 1
    assert "templates/mail.html:2: SecurityError in `{{ release.__dict__ }}`." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "name", ["content_html", "card_html", "rss-item_xml", "feed-item_json", "mail_txt", "mail_html"]
)
def test_an_undefined_variable_is_found_at_the_rehearsal(tmp_path, name):
    """A variable that is not there, in a branch that only this record takes, refuses it at intake and not at its lift."""
    shipped_source = (shipped("templates") / name.replace("_", ".")).read_text()
    wrong = "{% if release.title == 'Rates cut' %}{{ release.titel }}{% endif %}"
    before, end, after = shipped_source.rpartition(
        "{% endblock %}"
    )  # what stands outside a frame's blocks is not shown
    source = f"{before}{wrong}{end}{after}" if before.startswith("{% extends") else shipped_source + wrong
    parts = office_with(tmp_path, **{name: source})
    store = open_store(f"sqlite:///{tmp_path}/var/embargo.db")
    office = Office(tmp_path, parts, store)
    assert office.record("usual", title="Rates held").state == "held"
    with pytest.raises(FileRefused) as caught:
        office.record("special", title="Rates cut")
    assert f"/templates/{name.replace('_', '.')}:" in caught.value.remedy
    assert "UndefinedError" in caught.value.remedy
    assert "Rates cut" not in str(caught.value).replace(wrong, "")
    assert office.trail("special") == []
    store.close()


WARNED = ["var/embargo.db", "records", "var/mail", "smtp"]


@pytest.fixture
def loose_house(house):
    """A newsroom whose private things anybody can read."""
    assert house.run("add", str(house.record("one", embargo="on delivery"))).returncode == 0
    house.config.write_text(house.config.read_text().replace("mail:\n", "mail:\n  password_file: smtp\n", 1))
    (house.folder / "smtp").touch()
    (house.folder / "var" / "mail").mkdir()
    for name in WARNED:
        (house.folder / name).chmod(0o755)
    return house


def test_settings_count_where_they_hold_a_password(tmp_path):
    """Settings are private where the address of the database holds a password, and else are not."""
    file = tmp_path / "config.yaml"
    for database, private in [
        ("sqlite:///var/embargo.db", False),
        ("postgresql://press@db.example.org/embargo", False),
        ("postgresql://press:secret@db.example.org/embargo", True),
    ]:
        file.write_text(SETTINGS.format(port=8080, database=SQLITE).replace("sqlite:///var/embargo.db", database))
        assert (file in config.read(file).private) == private


def remedies(house):
    """The command that mends each loose thing."""
    return [f"chmod go-rwx {house.folder / name}" for name in WARNED]


def warned(lines, house):
    """Whether each loose thing has a warning with its mode and its remedy."""
    return all(any("warning" in line and "0755" in line and each in line for line in lines) for each in remedies(house))


def test_the_service_warns_of_what_others_can_reach(loose_house):
    """At its start the service names what others can read, with its mode and the command that mends it, and changes nothing."""
    loose_house.start()
    assert warned(loose_house.log.splitlines(), loose_house)
    loose_house.stop()
    assert all(stat.S_IMODE((loose_house.folder / name).stat().st_mode) == 0o755 for name in WARNED)


def test_a_worker_of_its_own_warns_too(loose_house):
    """A worker that somebody starts by hand says the same."""
    done = loose_house.run("worker", "--once")
    assert done.returncode == 0, done.stderr
    assert warned(done.stderr.splitlines(), loose_house)


def test_the_doctor_finds_what_others_can_reach(loose_house):
    """`embargo doctor` finds the same wrong, and nothing once its commands have been run."""
    found = {row["remedy"]: row for row in loose_house.json("doctor") if not row["good"]}
    for each in remedies(loose_house):
        [finding] = [row for remedy, row in found.items() if each in remedy]
        assert "0755" in finding["what"]
        subprocess.run(each, shell=True, check=True)
    assert loose_house.run("doctor").returncode == 0
