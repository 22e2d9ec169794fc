# Template for the credentials of the production environment. Copy it beside the
# environment's egress.yaml as prod.env, which git ignores, and let bootstrap fill in
# the keys, for 30 days:
#
#   bootstrap init --config prod/egress.yaml --env-file prod.env --create-key --expires-in 720h
#
# Pipelines get the same key as a Secret: bootstrap init --output secret. Load the
# file: set -a; . ./prod.env; set +a. This template contains no secret: keep it so.

# API key of the IAM application of this environment.
SCW_ACCESS_KEY=
SCW_SECRET_KEY=

# Project of this environment.
SCW_DEFAULT_PROJECT_ID=
