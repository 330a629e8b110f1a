#!/usr/bin/env bash
# Prints the path of a Chromium: one that is installed, else Debian's own, unpacked into .chromium once. Nothing is
# installed, so nobody has to be root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for name in chromium chromium-browser google-chrome-stable google-chrome; do
    if command -v "$name"; then exit; fi
done

place=$PWD/.chromium
root=$place/root

unpack() {
    mkdir -p "$place/packages" "$root"
    cd "$place/packages"
    # What apt would install, without installing it.
    apt-get --simulate --option Debug::NoLocking=1 --no-install-recommends install chromium fonts-droid-fallback |
        sed -n 's/^Inst \([^ ]*\).*/\1/p' | xargs apt-get download
    for name in *.deb; do dpkg -x "$name" "$root"; done
    rm -rf "$place/packages"
    [ -x "$root/usr/lib/chromium/chromium" ]
}

if [ ! -x "$place/chromium" ]; then
    if ! (command -v apt-get && command -v dpkg) >/dev/null || ! (unpack) >&2; then
        echo "no Chromium is installed, and Debian's cannot be had here; tests of the report are skipped" >&2
        exit 1
    fi
    cat >"$place/chromium" <<END
#!/bin/sh
libraries=$root/usr/lib/\$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$root/usr/lib/chromium:\$libraries:\$libraries/pulseaudio"
export FONTCONFIG_FILE="$place/fonts.conf"
exec "$root/usr/lib/chromium/chromium" "\$@"
END
    cat >"$place/fonts.conf" <<END
<fontconfig><dir>/usr/share/fonts</dir><dir>$root/usr/share/fonts</dir><cachedir>$place/fonts</cachedir></fontconfig>
END
    chmod +x "$place/chromium"
fi
if ! "$place/chromium" --version >&2; then
    echo "Debian's Chromium does not start here; tests of the report are skipped" >&2
    exit 1
fi
echo "$place/chromium"
