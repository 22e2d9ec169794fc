# Template for the credentials of a development environment. Copy it beside the
# environment's egress.yaml as dev.env, which git ignores, and let bootstrap fill in
# the keys:
#
#   bootstrap init --config dev/egress.yaml --env-file dev.env --create-key
#
# Load it: set -a; . ./dev.env; set +a. This template contains no secret: keep it so.

# API key of the IAM application of this environment.
SCW_ACCESS_KEY=
SCW_SECRET_KEY=

# Project of this environment. Use one that has no production resources.
SCW_DEFAULT_PROJECT_ID=

# Address of the API. For trying without an account, that of a fake API:
# SCW_API_URL=http://127.0.0.1:8080
