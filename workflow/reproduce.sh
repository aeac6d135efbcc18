#!/usr/bin/env bash
# Bring the results of a profile up to date: `make reproduce`, or with an environment of your own
#   PROFILE=smoke bash workflow/reproduce.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec python -m dseg reproduce --profile "${PROFILE:-embedded}"
