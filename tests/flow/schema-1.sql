BEGIN TRANSACTION;
CREATE TABLE deliveries (
	id INTEGER NOT NULL,
	mailing_id INTEGER NOT NULL,
	record_id TEXT NOT NULL,
	revision INTEGER NOT NULL,
	purpose TEXT NOT NULL,
	recipient TEXT NOT NULL,
	address TEXT NOT NULL,
	state TEXT NOT NULL,
	due_at BIGINT NOT NULL,
	attempts INTEGER NOT NULL,
	worker TEXT,
	lease_until BIGINT,
	message_id TEXT,
	problem TEXT,
	settled_at BIGINT,
	PRIMARY KEY (id),
	CONSTRAINT delivery_state_is_known CHECK (state IN ('pending', 'claimed', 'sending', 'sent', 'failed', 'uncertain')),
	CONSTRAINT work_in_hand_has_a_worker CHECK ((state IN ('claimed', 'sending')) = (worker IS NOT NULL)),
	CONSTRAINT a_mail_goes_to_a_person_once UNIQUE (record_id, address, revision, purpose),
	FOREIGN KEY(mailing_id) REFERENCES mailings (id)
);
CREATE TABLE mailings (
	id INTEGER NOT NULL,
	record_id TEXT NOT NULL,
	revision INTEGER NOT NULL,
	purpose TEXT NOT NULL,
	list TEXT NOT NULL,
	owed_at BIGINT NOT NULL,
	frozen_at BIGINT,
	PRIMARY KEY (id),
	FOREIGN KEY(record_id, revision) REFERENCES revisions (record_id, number),
	CONSTRAINT mailing_purpose_is_known CHECK (purpose IN ('release', 'correction', 'retraction')),
	CONSTRAINT a_list_is_owed_once UNIQUE (record_id, revision, purpose, list)
);
INSERT INTO "mailings" VALUES(1,'out',2,'release','press',1796040000000000,NULL);
INSERT INTO "mailings" VALUES(2,'out',2,'correction','press',1796043600000000,NULL);
CREATE TABLE meta (
	"key" TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('store_id','b5230450-c17f-49c0-972d-af37fce21988');
INSERT INTO "meta" VALUES('schema','1');
CREATE TABLE records (
	id TEXT NOT NULL,
	uuid TEXT NOT NULL,
	tag TEXT NOT NULL,
	origin TEXT NOT NULL,
	digest TEXT NOT NULL,
	state TEXT NOT NULL,
	revision INTEGER NOT NULL,
	lift_at BIGINT,
	settled_by TEXT,
	reason TEXT,
	lists TEXT,
	accepted_at BIGINT NOT NULL,
	released_at BIGINT,
	changed_at BIGINT,
	retraction TEXT,
	vanished INTEGER NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT record_state_is_known CHECK (state IN ('attention', 'held', 'released', 'withdrawn', 'retracted')),
	CONSTRAINT released_means_it_has_an_instant CHECK ((state IN ('released', 'retracted')) = (released_at IS NOT NULL)),
	CONSTRAINT nothing_is_released_before_its_lift CHECK (released_at IS NULL OR (lift_at IS NOT NULL AND released_at >= lift_at)),
	CONSTRAINT attention_always_has_a_reason CHECK ((state = 'attention') = (reason IS NOT NULL)),
	UNIQUE (uuid),
	UNIQUE (tag)
);
INSERT INTO "records" VALUES('held','e337f25b-9082-4048-ba6e-9f8040a920e7','tag:127.0.0.1,2026:e337f25b-9082-4048-ba6e-9f8040a920e7','/srv/newsroom/records/held.md','bfeae09c76c3afe6183c9afdf2de89fe87bb8bfd54e8287ab2465a25c6405436','held',1,1796133600000000,NULL,NULL,NULL,1796040000000000,NULL,NULL,NULL,0);
INSERT INTO "records" VALUES('out','681dfe02-78bf-41aa-9909-136842450af5','tag:127.0.0.1,2026:681dfe02-78bf-41aa-9909-136842450af5','/srv/newsroom/records/out.md','1ddcf5a9f6347e317dc48bd91c7806e3b6e19524696354c525be75fb42870bd4','released',2,1796040000000000,NULL,NULL,NULL,1796040000000000,1796040000000000,1796043600000000,NULL,0);
CREATE TABLE refusals (
	origin TEXT NOT NULL,
	digest TEXT NOT NULL,
	line INTEGER,
	problem TEXT NOT NULL,
	remedy TEXT NOT NULL,
	refused_at BIGINT NOT NULL,
	PRIMARY KEY (origin)
);
CREATE TABLE revisions (
	record_id TEXT NOT NULL,
	number INTEGER NOT NULL,
	digest TEXT NOT NULL,
	accepted_at BIGINT NOT NULL,
	embargo_kind TEXT NOT NULL,
	embargo_words TEXT NOT NULL,
	embargo_source TEXT NOT NULL,
	lift_local TEXT,
	lift_zone TEXT NOT NULL,
	tz_version TEXT NOT NULL,
	candidates TEXT NOT NULL,
	unfit TEXT,
	fields TEXT NOT NULL,
	title TEXT NOT NULL,
	summary TEXT NOT NULL,
	text TEXT NOT NULL,
	html TEXT NOT NULL,
	PRIMARY KEY (record_id, number),
	FOREIGN KEY(record_id) REFERENCES records (id)
);
INSERT INTO "revisions" VALUES('held',1,'bfeae09c76c3afe6183c9afdf2de89fe87bb8bfd54e8287ab2465a25c6405436',1796040000000000,'fixed','2026-12-01 09:00 America/New_York','metadata','2026-12-01T09:00:00','America/New_York','2026f','[{"at": "2026-12-01T14:00:00+00:00", "local": "2026-12-01T09:00:00", "zone": "America/New_York"}]',NULL,'{"topics": ["water"], "attribution": null, "contact": null, "source": null, "moderator": null, "speakers": [], "correction": null, "questions": [], "language": "en"}','Still held','The text of a held record.','The text of a held record.','<p>The text of a held record.</p>');
INSERT INTO "revisions" VALUES('out',1,'5b2ec003b00e5ad8730d53c6a2d3182c2b79d95ff35ae7924ef6b3f68dd8df5d',1796040000000000,'immediate','none','metadata','2026-11-30T12:00:00','UTC','2026f','[]',NULL,'{"topics": [], "attribution": null, "contact": null, "source": null, "moderator": null, "speakers": [], "correction": null, "questions": [], "language": "en"}','Released','The text of a released record.','The text of a released record.','<p>The text of a released record.</p>');
INSERT INTO "revisions" VALUES('out',2,'1ddcf5a9f6347e317dc48bd91c7806e3b6e19524696354c525be75fb42870bd4',1796043600000000,'immediate','none','metadata',NULL,'UTC','2026f','[]',NULL,'{"topics": [], "attribution": null, "contact": null, "source": null, "moderator": null, "speakers": [], "correction": null, "questions": [], "language": "en"}','Released','The corrected text of a released record.','The corrected text of a released record.','<p>The corrected text of a released record.</p>');
CREATE TABLE trail (
	seq INTEGER NOT NULL,
	at BIGINT NOT NULL,
	actor TEXT NOT NULL,
	event TEXT NOT NULL,
	record_id TEXT,
	revision INTEGER,
	detail TEXT NOT NULL,
	previous TEXT NOT NULL,
	hash TEXT NOT NULL,
	PRIMARY KEY (seq)
);
INSERT INTO "trail" VALUES(1,1796040000000000,'service','accepted','held',1,'{"candidates":"2026-12-01T14:00:00+00:00","decided":"metadata","digest":"bfeae09c76c3afe6183c9afdf2de89fe87bb8bfd54e8287ab2465a25c6405436","kind":"fixed","lift_at":"2026-12-01T14:00:00+00:00","local":"2026-12-01T09:00:00","origin":"/srv/newsroom/records/held.md","reason":null,"settled_by":null,"state":"held","tz_version":"2026f","unfit":null,"words":"2026-12-01 09:00 America/New_York","zone":"America/New_York"}','0000000000000000000000000000000000000000000000000000000000000000','e2ce64cc0348028830936c6620150c6b182cadb6d7411b5fb3368b61c83e7cae');
INSERT INTO "trail" VALUES(2,1796040000000000,'service','accepted','out',1,'{"candidates":"","decided":"metadata","digest":"5b2ec003b00e5ad8730d53c6a2d3182c2b79d95ff35ae7924ef6b3f68dd8df5d","kind":"immediate","lift_at":"2026-11-30T12:00:00+00:00","local":"2026-11-30T12:00:00","origin":"/srv/newsroom/records/out.md","reason":null,"settled_by":null,"state":"held","tz_version":"2026f","unfit":null,"words":"none","zone":"UTC"}','e2ce64cc0348028830936c6620150c6b182cadb6d7411b5fb3368b61c83e7cae','9018db24cfc37c78641ddb7ee5ecf6880b5b84a93f238294f1a2e6f98d3d14bd');
INSERT INTO "trail" VALUES(3,1796040000000000,'service','released','out',1,'{"by":"lift","lift_at":"2026-11-30T12:00:00+00:00"}','9018db24cfc37c78641ddb7ee5ecf6880b5b84a93f238294f1a2e6f98d3d14bd','497060970c098d87851630638417e258f16a3fa55d47916152512e5d305c2cad');
INSERT INTO "trail" VALUES(4,1796043600000000,'service','corrected','out',2,'{"digest":"1ddcf5a9f6347e317dc48bd91c7806e3b6e19524696354c525be75fb42870bd4","note":null}','497060970c098d87851630638417e258f16a3fa55d47916152512e5d305c2cad','4f2b34ccf00ab9fa8af5ac347e3582a4eebfd6eab715528c8f05d43cae1ac9ac');
CREATE TABLE trail_head (
	only INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	hash TEXT NOT NULL,
	PRIMARY KEY (only),
	CONSTRAINT there_is_one_trail CHECK (only = 1)
);
INSERT INTO "trail_head" VALUES(1,4,'4f2b34ccf00ab9fa8af5ac347e3582a4eebfd6eab715528c8f05d43cae1ac9ac');
CREATE INDEX records_by_digest ON records (digest);
CREATE INDEX held_by_lift ON records (lift_at) WHERE state = 'held';
CREATE INDEX records_by_origin ON records (origin);
CREATE INDEX records_by_release ON records (released_at) WHERE released_at IS NOT NULL;
CREATE INDEX mailings_to_freeze ON mailings (id) WHERE frozen_at IS NULL;
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state = 'pending';
CREATE INDEX deliveries_in_hand ON deliveries (lease_until) WHERE worker IS NOT NULL;
CREATE INDEX ix_deliveries_mailing_id ON deliveries (mailing_id);
CREATE TRIGGER trail_refuses_update BEFORE UPDATE ON trail BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER trail_refuses_delete BEFORE DELETE ON trail BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
COMMIT;
