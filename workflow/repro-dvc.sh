#!/usr/bin/env bash
# The same by DVC: what its cache has is restored, the rest computed stage by stage. An interrupted
# stage starts from its beginning, so long runs are better left to reproduce.sh.
#   PROFILE=smoke bash workflow/repro-dvc.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
profile="${PROFILE:-embedded}"
file=dvc.yaml
[[ "$profile" == embedded ]] || file="workflow/profiles/$profile/dvc.yaml"
# Stages name the variants that they are of: one that was added is in no stage yet.
python -m dseg stage dvc --profile "$profile"
dvc repro "$file"
# Only if DVC now finds everything as it should be, tell Snakemake that it is.
dvc status --quiet "$file"
snakemake all --config "profile=$profile" --nolock --touch --forceall --quiet host progress rules
