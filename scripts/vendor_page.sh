#!/usr/bin/env bash
# Fetches what the studio page needs from npm, at pinned versions, and bundles it into files the wheel carries.
# Run it only to change a version; the page itself needs no build and no network.
set -euo pipefail
page="$(cd "$(dirname "$0")/.." && pwd)/src/melodygen/server/page/vendor"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent spessasynth_lib@4.3.14 spessasynth_core@4.3.22 abcjs@6.7.2 esbuild@0.28.2
echo 'export { WorkletSynthesizer } from "spessasynth_lib";' >entry.js
node_modules/.bin/esbuild entry.js --bundle --minify --format=esm --outfile="$page/spessasynth.js"
sed '/sourceMappingURL/d' node_modules/spessasynth_lib/dist/spessasynth_processor.min.js >"$page/spessasynth_processor.min.js"
cp node_modules/spessasynth_lib/LICENSE "$page/LICENSE-spessasynth"
# of abcjs what draws notes; its inline styles become style properties, which the page's content policy allows
find node_modules/abcjs/src -name '*.js' -exec sed -i -E "s/\.setAttribute\((['\"])style\1, *(.*)\)(;?)$/.style.cssText = \2\3/" {} +
sed -i '/paper\.insertStyles(/d' node_modules/abcjs/src/write/draw/set-paper-size.js # only for dragging notes about
echo 'import render from "abcjs/src/api/abc_tunebook_svg.js"; export const renderAbc = render;' >entry.js
node_modules/.bin/esbuild entry.js --bundle --minify --format=esm --outfile="$page/abcjs.js"
cp node_modules/abcjs/LICENSE.md "$page/LICENSE-abcjs"
