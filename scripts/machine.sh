# shellcheck shell=bash
# A virtual machine with a kernel of Debian's, for scripts/test-kernel and scripts/test-systemd.

have() { # lines of a file that shows it is there and a package; installs what is missing
  local file package missing=()
  while read -r file package _; do
    [ -z "$file" ] || [ -e "$file" ] || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  echo "$(basename "$0"): installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Makes `unpacked`, a directory of the package KERNEL below the one that is given, and `release`, which is its kernel's.
unpack_kernel() {
  work=$1
  local kernel=${KERNEL:-linux-image-amd64} package
  have <<'NEED'
/usr/bin/qemu-system-x86_64 qemu-system-x86 # the machine
/usr/bin/cpio cpio                          # packs what it boots from
/usr/sbin/depmod kmod                       # which module needs which
/usr/bin/busybox busybox-static             # the first program, before there is a file system
NEED
  if [ -f "$kernel" ]; then
    package=$kernel
  else
    # A package without a version of its own names one that has it.
    [ "$kernel" != linux-image-amd64 ] ||
      kernel=$(apt-cache depends "$kernel" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    package=$(find "$work" -maxdepth 1 -name "${kernel}_*.deb" | head -n 1)
    if [ -z "$package" ]; then
      (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$kernel")
      package=$(find "$work" -maxdepth 1 -name "${kernel}_*.deb" | head -n 1)
    fi
  fi
  unpacked=$work/$(basename "$package" .deb)
  if [ ! -d "$unpacked" ]; then
    rm -rf "$unpacked.part"
    dpkg -x "$package" "$unpacked.part"
    # Where all of /lib is below /usr the modules are too.
    [ -d "$unpacked.part/lib/modules" ] || mv "$unpacked.part/usr/lib" "$unpacked.part/lib"
    depmod -b "$unpacked.part" "$(ls "$unpacked.part/lib/modules")"
    mv "$unpacked.part" "$unpacked"
  fi
  release=$(ls "$unpacked/lib/modules")
}

# Packs what the machine boots from: a shell, the modules that are named, and from standard input the script that runs
# once they are loaded.
pack_first() {
  local first=$work/first number=10 module name file
  rm -rf "$first"
  mkdir -p "$first"/{bin,modules,proc,sys,dev}
  cp /usr/bin/busybox "$first/bin/busybox"
  for module; do
    while read -r _ file; do
      name=$(basename "$file")
      compgen -G "$first/modules/*-$name" >/dev/null || cp "$file" "$first/modules/$((number++))-$name"
    done < <(modprobe --set-version "$release" --dirname "$unpacked" --show-depends "$module" | grep '^insmod')
  done
  {
    cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
for module in /modules/*; do
  case $module in
    *.ko) insmod "$module" ;;
    *) ;;
  esac
done
INIT
    cat
  } >"$first/init"
  chmod +x "$first/init"
  (cd "$first" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/first.gz"
}

# What every kernel is told. A busy machine emulates a timer too slowly for the kernel's check of it.
# shellcheck disable=SC2034
boot_options="console=ttyS0 quiet panic=-1 mitigations=off no_timer_check"

# Boots it, with what is given besides; its console is the standard output.
machine() {
  qemu-system-x86_64 -smp "$(nproc)" -m "${MEMORY:-3072}" \
    -nodefaults -no-user-config -display none -no-reboot -nic none -serial stdio \
    -kernel "$unpacked/boot/vmlinuz-$release" -initrd "$work/first.gz" "$@" </dev/null
}

# Fills `accelerated`, and fails where the machine is to be a slow one. Not every /dev/kvm works, be it inside of another
# machine: it has a minute to come as far as the first program. KVM=no does not try.
accelerate() {
  accelerated=(-accel kvm -cpu "host,arch-capabilities=off")
  if ! { [ "${KVM:-}" != no ] && [ -w /dev/kvm ] &&
    timeout 60 bash -c "$(declare -f machine); $(declare -p accelerated unpacked work release); machine \"\$@\"" \
      machine "${accelerated[@]}" -append "console=ttyS0 panic=-1" 2>&1 | grep -q 'Run /init'; }; then
    echo "$(basename "$0"): without KVM, which takes some ten times as long"
    accelerated=(-accel "tcg,thread=multi" -cpu "max,la57=off")
    return 1
  fi
}
