package machine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"egress.scw/cloudinit"
)

// Release is a release of Debian.
type Release string

// The releases that a proxy can have.
const (
	Bookworm Release = "bookworm" // 12
	Trixie   Release = "trixie"   // 13
)

// Network is the kind of programs that configure the NICs of an image.
type Network string

// The kinds of Debian's images.
const (
	Dhclient Network = "dhclient" // ifupdown with isc-dhcp-client
	Dhcpcd   Network = "dhcpcd"   // ifupdown with dhcpcd, which trixie's ifupdown recommends
	Networkd Network = "networkd" // netplan with systemd-networkd, as in Debian's own cloud images of trixie
)

// Image is the system that a machine boots: like a marketplace image of Scaleway,
// whose kind of network is not documented.
type Image struct {
	Release Release
	Network Network
}

// DefaultImage is the image of the local environment.
func DefaultImage() Image { return Image{Trixie, Networkd} }

// Images returns all images.
func Images() []Image {
	return []Image{{Trixie, Networkd}, {Trixie, Dhcpcd}, {Trixie, Dhclient}, {Bookworm, Dhclient}}
}

// ParseImage returns the image with a name, such as trixie-networkd.
func ParseImage(name string) (Image, error) {
	images := Images()
	known := make([]string, len(images))
	for i, image := range images {
		if known[i] = image.String(); known[i] == name {
			return image, nil
		}
	}
	return Image{}, fmt.Errorf("there is no image %q; the images are %s", name, strings.Join(known, ", "))
}

// String returns the name.
func (i Image) String() string { return string(i.Release) + "-" + string(i.Network) }

// packages turn a minimal system into a cloud server's image. Not one of them is
// in cloudinit.Packages, so that the machine installs all of those.
func (i Image) packages() []string {
	common := []string{
		"ca-certificates", "cloud-init", "cron", "dbus", "iproute2", "iputils-ping", "kmod", "less", "netbase", "openssh-server", "procps",
		"python3", "sudo", "systemd", "systemd-sysv", "udev",
	}
	return append(common, map[Network][]string{
		Dhclient: {"ifupdown", "isc-dhcp-client"},
		Dhcpcd:   {"ifupdown", "dhcpcd-base"},
		Networkd: {"netplan.io", "systemd-resolved"},
	}[i.Network]...)
}

// proxyPackages are all packages that a proxy may install.
func proxyPackages() []string {
	return slices.Concat(cloudinit.Packages(), cloudinit.SyslogPackages(), cloudinit.SidecarPackages())
}

// locale is the locale that every system has: generating another one takes a
// while.
const locale = "locale: C.UTF-8\n"

// patch is a change to a file of the image that a real machine does not need.
type patch struct{ file, from, to string }

func (i Image) patches() []patch {
	if i.Release != Bookworm {
		return nil
	}
	return []patch{{
		// cloud-init 22.4.2 knows only the answer of older kernels, "File
		// exists", when it adds the address of a lease that exists already.
		file: "usr/lib/python3/dist-packages/cloudinit/net/ephemeral.py",
		from: `if "File exists" not in str(e.stderr):`,
		to:   `if "File exists" not in str(e.stderr) and "already assigned" not in str(e.stderr):`,
	}}
}

// recipeHash covers all choices made here. It does not cover the packages'
// versions: the release determines them.
func (i Image) recipeHash() string {
	hash := sha256.New()
	fmt.Fprintln(hash, i, i.patches(), locale, i.mmdebstrapOptions())
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

func (i Image) mmdebstrapOptions() []string {
	return []string{
		"--mode=root", "--variant=minbase", "--format=directory", "--include=" + strings.Join(i.packages(), ","),
		`--aptopt=Acquire::Languages "none"`,
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		// The image's own apt downloads them: it knows which packages
		// the image lacks.
		"--customize-hook=chroot \"$1\" apt-get clean",
		"--customize-hook=chroot \"$1\" apt-get --quiet --yes --no-install-recommends --download-only install " + strings.Join(proxyPackages(), " "),
		"--customize-hook=mv \"$1\"/var/cache/apt/archives/*.deb \"$EGRESS_PACKAGES\"",
	}
}

// finish removes the files that came from this machine, and makes the image's own.
func (i Image) finish(root string) error {
	for _, name := range []string{"etc/apt/sources.list", "etc/resolv.conf", "etc/hostname"} {
		if err := os.Remove(filepath.Join(root, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if slices.Contains(i.packages(), "systemd-resolved") {
		if err := os.Symlink("../run/systemd/resolve/stub-resolv.conf", filepath.Join(root, "etc/resolv.conf")); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/cloud/cloud.cfg.d/90-locale.cfg"), []byte(locale), 0o644); err != nil {
		return err
	}
	for _, p := range i.patches() {
		if err := p.apply(root); err != nil {
			return err
		}
	}
	return nil
}

func (p patch) apply(root string) error {
	name := filepath.Join(root, p.file)
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if bytes.Count(content, []byte(p.from)) != 1 {
		return fmt.Errorf("%s: expected %q exactly once; adapt the patch to the new version", p.file, p.from)
	}
	return os.WriteFile(name, bytes.Replace(content, []byte(p.from), []byte(p.to), 1), 0o644)
}
