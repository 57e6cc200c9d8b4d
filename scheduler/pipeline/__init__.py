"""The straight line, from a source's bytes to readers. Nothing here reads the clock, the configuration or SQL.

::

    source | intake.read | embargo.stated, embargo.read | record.check | rehearse | store.moves     accept.py, decide.py
                                     … the record is held …
    wake   | store.moves.release_due(now)    one transaction: held -> released, mail owed, trail    release.py
           | outlets.site                    pages first, feeds last, each by rename                chronicle.py, documents.py
    mail   | store.ledger.claim | outlets.mail.send | store.ledger.settle                           deliver.py

Everything that can fail is tried by `accept`, hours before. At the lift two questions are left: still held? due?
"""
