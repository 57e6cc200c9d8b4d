BEGIN TRANSACTION;
CREATE TABLE attachment_chunks (
	upload TEXT NOT NULL,
	number INTEGER NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (upload, number)
);
INSERT INTO "attachment_chunks" VALUES('00001796040000000000 51c9cda2-535c-4696-b06c-1d84c987a07d',0,X'636974792C6C69747265730A412C310A');
CREATE TABLE attachments (
	digest TEXT NOT NULL,
	upload TEXT NOT NULL,
	size INTEGER NOT NULL,
	PRIMARY KEY (digest),
	UNIQUE (upload)
);
INSERT INTO "attachments" VALUES('f9b1b59a227f35aeb567f50f02b23296dc21c493d080c6ef876f1eeffaf55d71','00001796040000000000 51c9cda2-535c-4696-b06c-1d84c987a07d',16);
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
INSERT INTO "deliveries" VALUES(1,1,'out',1,'release','desk@example.org','desk@example.org','sent',1796040000000000,1,NULL,NULL,'<out.1.release@127.0.0.1>',NULL,1796040000000000);
INSERT INTO "deliveries" VALUES(2,1,'out',1,'release','Zoë <zoe@example.net>','zoe@example.net','pending',1796040000000000,0,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO "mailings" VALUES(1,'out',1,'release','press',1796040000000000,1796040000000000);
CREATE TABLE meta (
	"key" TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('store_id','4826a856-3514-496e-8fe5-2e63dcc5421c');
INSERT INTO "meta" VALUES('schema','2');
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
INSERT INTO "records" VALUES('held','6da6fb29-88e6-4eaa-be8f-1fcc5c2636bc','tag:127.0.0.1,2026:6da6fb29-88e6-4eaa-be8f-1fcc5c2636bc','/srv/newsroom/records/held.md','772a6f1ff240335694342825aa3e74f9112dc3e6e0b4cd0902cfc2a1e888b4a5','held',1,1796133600000000,NULL,NULL,NULL,1796040000000000,NULL,NULL,NULL,0);
INSERT INTO "records" VALUES('out','46ace11d-d9fb-4bb3-b911-c84560fcbc55','tag:127.0.0.1,2026:46ace11d-d9fb-4bb3-b911-c84560fcbc55','/srv/newsroom/records/out.md','5b2ec003b00e5ad8730d53c6a2d3182c2b79d95ff35ae7924ef6b3f68dd8df5d','released',1,1796040000000000,NULL,NULL,NULL,1796040000000000,1796040000000000,NULL,NULL,0);
CREATE TABLE refusals (
	origin TEXT NOT NULL,
	digest TEXT NOT NULL,
	line INTEGER,
	problem TEXT NOT NULL,
	remedy TEXT NOT NULL,
	refused_at BIGINT NOT NULL,
	PRIMARY KEY (origin)
);
CREATE TABLE revision_attachments (
	record_id TEXT NOT NULL,
	revision INTEGER NOT NULL,
	digest TEXT NOT NULL,
	PRIMARY KEY (record_id, revision, digest),
	FOREIGN KEY(record_id, revision) REFERENCES revisions (record_id, number),
	FOREIGN KEY(digest) REFERENCES attachments (digest)
);
INSERT INTO "revision_attachments" VALUES('held',1,'f9b1b59a227f35aeb567f50f02b23296dc21c493d080c6ef876f1eeffaf55d71');
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
INSERT INTO "revisions" VALUES('held',1,'772a6f1ff240335694342825aa3e74f9112dc3e6e0b4cd0902cfc2a1e888b4a5',1796040000000000,'fixed','2026-12-01 09:00 America/New_York','metadata','2026-12-01T09:00:00','America/New_York','2026f','[{"at": "2026-12-01T14:00:00+00:00", "local": "2026-12-01T09:00:00", "zone": "America/New_York"}]',NULL,'{"topics": ["water"], "attribution": null, "contact": null, "source": null, "moderator": null, "speakers": [], "correction": null, "attachments": [{"name": "table.csv", "media_type": "text/csv", "size": 16, "digest": "f9b1b59a227f35aeb567f50f02b23296dc21c493d080c6ef876f1eeffaf55d71", "alt": null, "title": null}], "questions": [], "language": "en"}','Still held','The text of a held record.','The text of a held record.','<p>The text of a held record.</p>');
INSERT INTO "revisions" VALUES('out',1,'5b2ec003b00e5ad8730d53c6a2d3182c2b79d95ff35ae7924ef6b3f68dd8df5d',1796040000000000,'immediate','none','metadata','2026-11-30T12:00:00','UTC','2026f','[]',NULL,'{"topics": [], "attribution": null, "contact": null, "source": null, "moderator": null, "speakers": [], "correction": null, "attachments": [], "questions": [], "language": "en"}','Released','The text of a released record.','The text of a released record.','<p>The text of a released record.</p>');
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
INSERT INTO "trail" VALUES(1,1796040000000000,'service','accepted','held',1,'{"attachments":"f9b1b59a227f35aeb567f50f02b23296dc21c493d080c6ef876f1eeffaf55d71","candidates":"2026-12-01T14:00:00+00:00","decided":"metadata","digest":"772a6f1ff240335694342825aa3e74f9112dc3e6e0b4cd0902cfc2a1e888b4a5","kind":"fixed","lift_at":"2026-12-01T14:00:00+00:00","local":"2026-12-01T09:00:00","origin":"/srv/newsroom/records/held.md","reason":null,"settled_by":null,"state":"held","tz_version":"2026f","unfit":null,"words":"2026-12-01 09:00 America/New_York","zone":"America/New_York"}','0000000000000000000000000000000000000000000000000000000000000000','4e1d1a219878bf915e7e32fd94d7f3f0eb76311efb45301916a4610a03136f05');
INSERT INTO "trail" VALUES(2,1796040000000000,'service','accepted','out',1,'{"candidates":"","decided":"metadata","digest":"5b2ec003b00e5ad8730d53c6a2d3182c2b79d95ff35ae7924ef6b3f68dd8df5d","kind":"immediate","lift_at":"2026-11-30T12:00:00+00:00","local":"2026-11-30T12:00:00","origin":"/srv/newsroom/records/out.md","reason":null,"settled_by":null,"state":"held","tz_version":"2026f","unfit":null,"words":"none","zone":"UTC"}','4e1d1a219878bf915e7e32fd94d7f3f0eb76311efb45301916a4610a03136f05','e1c66237e53c164cfafdc9bdb1ed39d2085225698fcc67be6cf9bdc6155cb06a');
INSERT INTO "trail" VALUES(3,1796040000000000,'service','released','out',1,'{"by":"lift","lift_at":"2026-11-30T12:00:00+00:00"}','e1c66237e53c164cfafdc9bdb1ed39d2085225698fcc67be6cf9bdc6155cb06a','ae5c8d215ef123b765843bfdfb1a90c4adfd8073ab03774ffc71cd4b9f843840');
CREATE TABLE trail_head (
	only INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	hash TEXT NOT NULL,
	PRIMARY KEY (only),
	CONSTRAINT there_is_one_trail CHECK (only = 1)
);
INSERT INTO "trail_head" VALUES(1,3,'ae5c8d215ef123b765843bfdfb1a90c4adfd8073ab03774ffc71cd4b9f843840');
CREATE INDEX records_by_digest ON records (digest);
CREATE INDEX held_by_lift ON records (lift_at) WHERE state = 'held';
CREATE INDEX records_by_release ON records (released_at) WHERE released_at IS NOT NULL;
CREATE INDEX records_by_origin ON records (origin);
CREATE INDEX records_by_change ON records (changed_at) WHERE changed_at IS NOT NULL;
CREATE INDEX mailings_to_freeze ON mailings (id) WHERE frozen_at IS NULL;
CREATE INDEX deliveries_in_hand ON deliveries (lease_until) WHERE worker IS NOT NULL;
CREATE INDEX ix_deliveries_mailing_id ON deliveries (mailing_id);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state = 'pending';
CREATE TRIGGER trail_refuses_update BEFORE UPDATE ON trail BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER trail_refuses_delete BEFORE DELETE ON trail BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END;
COMMIT;
