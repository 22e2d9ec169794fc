// Package cloudinit makes a proxy of a machine: the user data that a fresh
// Debian 12 boots from, and the form in which squid.conf reaches it from then
// on. It is pure: typed values in, text out.
//
// The files of the machine lie in rootfs/, under the paths that they get
// there. Scripts are written as they are; what differs between machines they
// read from one file of values. Nothing in user data is a secret: whatever runs
// as root on the machine reads it.
package cloudinit

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// The keys of the Instance's user data.
const (
	UserDataCloudInit = "cloud-init"
	UserDataSquidConf = "squid-conf"
)

// What squid.conf must say of this machine.
const (
	Certificate = "/etc/squid/egress.pem" // egress-certificate makes it
	ErrorPages  = "/etc/squid/errors"
	AuditLog    = "/var/log/squid/audit.log"
	CacheLog    = "/var/log/squid/cache.log"
	PIDFile     = "/run/squid.pid"
	ManagerPort = 3128
)

// The ports of the machine's private address where Prometheus finds metrics:
// tenants' figures, made of the audit log by mtail, and Squid's own. The
// firewall opens them to the Private Network.
const (
	MetricsPort      = 3903
	SquidMetricsPort = 9301
)

// setupUnit makes a proxy of the machine.
const setupUnit = "egress-setup.service"

// TenantConnections is how many connections one tenant may have open at a time;
// further ones are reset. Squid has 65,536 descriptors for all tenants, of which
// a tunnel takes two: eight tenants at their bound fit.
const TenantConnections = 4000

// syncLog is where egress-sync tells mtail about its runs.
const syncLog = "/var/log/egress/sync.log"

// Packages are what the machine installs, all from its distribution, with what
// they depend on but not with what they recommend. Time is kept by
// systemd-timesyncd, whatever the image has for that: Debian has one such package
// at a time, and apt removes another (chrony, ntp) in favour of the one that is
// asked for.
func Packages() []string {
	return []string{
		"curl", "mtail", "needrestart", "nftables", "openssl", "prometheus-squid-exporter", "squid-openssl", "systemd-timesyncd", "unattended-upgrades",
	}
}

// SyslogPackages are what a machine installs besides, if it sends its audit log
// to a server.
func SyslogPackages() []string { return []string{"ca-certificates", "rsyslog", "rsyslog-openssl"} }

// cloudConfig is the part of cloud-init's configuration that is used. Packages
// are not in it: egress-setup says why.
type cloudConfig struct {
	Hostname       string      `json:"hostname"`
	ManageEtcHosts string      `json:"manage_etc_hosts"`
	Timezone       string      `json:"timezone"`
	SSHPasswords   bool        `json:"ssh_pwauth"`
	DisableRoot    bool        `json:"disable_root"` // false: the project's keys open root, whatever the image says
	BootCommands   [][]string  `json:"bootcmd"`
	Files          []writeFile `json:"write_files"`
	RunCommands    [][]string  `json:"runcmd"`
}

// writeFile is a file as cloud-init writes it: root's, before any package is
// installed.
type writeFile struct {
	Path        string `json:"path"`
	Permissions string `json:"permissions"`
	Content     string `json:"content"`
}

// Render returns the user data that a proxy boots from. The error tells
// everything that is wrong with the machine's values, with the paths of the
// fields; there is no user data then.
func Render(vm VM) ([]byte, error) {
	if err := vm.validate().ToAggregate(); err != nil {
		return nil, fmt.Errorf("user data cannot be rendered: %w", err)
	}
	files, err := vm.files()
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(cloudConfig{
		Hostname:       vm.Hostname,
		ManageEtcHosts: "localhost",
		// That of the timers, for the reboot after them is at a local time.
		Timezone: "Etc/UTC",
		BootCommands: [][]string{
			// Debian starts Squid as soon as it is installed, open to everybody
			// on 3128. Masked, it stays down until egress-sync has a file for it.
			{"cloud-init-per", "once", "mask-squid", "systemctl", "mask", "squid.service"},
		},
		Files: files,
		// The last command's status is the boot's.
		RunCommands: [][]string{{"systemctl", "enable", setupUnit}, {"systemctl", "start", setupUnit}},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding user data: %w", err)
	}
	return append([]byte("#cloud-config\n"), text...), nil
}
