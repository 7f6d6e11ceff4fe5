# Installs what the browser's tests of the atlas need, if it can: Debian's chromium, and axe-core from
# npm. Nothing here makes the run fail: what cannot be installed is named, and its tests are skipped.

# Only downloads are cut off: a package that is interrupted while it is installed is left half there.
chromium_from_debian() {
  [ "$(id -u)" = 0 ] && command -v apt-get || return 1
  timeout 120 sh -c 'apt-get -q update && apt-get -qy install --no-install-recommends --download-only chromium' &&
    DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends --no-download chromium
}

axe_from_npm() {
  command -v npm && mkdir -p build/axe-core || return 1
  timeout 60 npm pack --silent --pack-destination build/axe-core axe-core@4.14.1 &&
    tar -xzf build/axe-core/axe-core-4.14.1.tgz -C build/axe-core
}

command -v chromium >/dev/null || chromium_from_debian </dev/null >/dev/null 2>&1 ||
  echo "chromium cannot be installed here: the browser's tests of the atlas are skipped"
axe=$PWD/build/axe-core/package/axe.min.js
if [ -z "${IKIT_AXE:-}" ] && command -v chromium >/dev/null; then
  [ -f "$axe" ] || axe_from_npm </dev/null >/dev/null 2>&1 ||
    echo "axe-core cannot be installed here: the accessibility test of the atlas is skipped"
  [ ! -f "$axe" ] || export IKIT_AXE=$axe
fi
