"""What is wrong, and what to do about it; changes nothing.

doctor          look at one thing after the other
machine         programs, permissions, file system, locks, space
data            the database, the files, the backups
database_users  who has a database open or locked
support_report  everything that helps from afar, with not one word of the user's
redaction       what of it may be shown

Its rule: what can't be looked at is a finding, too.
"""
