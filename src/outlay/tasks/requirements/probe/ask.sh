# Shown where no key is, so that a link in its place leads nowhere.
head -c 200000 findings.json
