package cloudinit

// Packages are the packages that every machine installs, all from its
// distribution, with their dependencies but not with recommended packages.
//
// needrestart restarts Squid after an upgrade: policy-rc.d denies that to Squid's own
// packages. The clock is set by systemd-timesyncd, whichever program the image has for
// that: Debian allows one such package at a time, and apt removes another (chrony,
// ntp) in favour of the requested one.
func Packages() []string {
	return []string{
		"curl", "mtail", "needrestart", "nftables", "openssl", "prometheus-node-exporter", "prometheus-squid-exporter", "squid-openssl",
		"systemd-timesyncd", "unattended-upgrades",
	}
}

// SyslogPackages are the additional packages of a machine that sends its audit log
// to a server.
func SyslogPackages() []string { return []string{"ca-certificates", "rsyslog", "rsyslog-openssl"} }

// SidecarPackages are the additional packages of a machine that serves sidecars.
func SidecarPackages() []string { return []string{"haproxy"} }

// packages are the packages that the machine installs.
func (m Machine) packages() []string {
	packages := Packages()
	if m.Syslog != nil {
		packages = append(packages, SyslogPackages()...)
	}
	if m.Identity.Sidecars() {
		packages = append(packages, SidecarPackages()...)
	}
	return packages
}
