package cloudinit

// AuditLog is the file of the audit log on the machine.
const AuditLog = "/var/log/squid/audit.log"

// Files of the machine that are named in squid.conf.
const (
	certificate  = "/etc/squid/egress.pem" // written by egress-certificate
	errorPages   = "/etc/squid/errors"
	auditProgram = "/usr/local/sbin/egress-audit"
	cacheLog     = "/var/log/squid/cache.log"
	pidFile      = "/run/squid.pid"
)

// Other files of the machine.
const (
	scriptFolder  = "/usr/local/sbin"
	commonScript  = "/usr/local/lib/egress/common.sh"
	policyScript  = "/usr/sbin/policy-rc.d" // run by scripts of packages
	portScript    = "/usr/local/lib/egress/ports.sh"
	statusScript  = "/usr/local/lib/egress/status.sh"
	valuesFile    = "/etc/egress/egress.conf"
	readyFile     = "/var/lib/egress/ready"
	openPorts     = "/var/lib/egress/open-ports.nft" // read by nftables.service
	holders       = "/var/lib/egress/holders"        // the tenant that each port last served
	metricsFolder = "/var/lib/egress/metrics"        // read by prometheus-node-exporter
	syslogConf    = "/etc/egress/rsyslog.conf"
	syslogUnit    = "/etc/systemd/system/egress-syslog.service"
	syslogCA      = "/etc/egress/syslog-ca.pem"
	debianCA      = "/etc/ssl/certs/ca-certificates.crt"
)

// Files of a machine that serves sidecars.
const (
	sidecarCertificate = "/etc/egress/sidecars.pem"     // written by egress-sidecars, with its key
	sidecarAuthorities = "/etc/egress/sidecars-ca.pem"  // written by egress-sidecars
	sidecarConf        = "/etc/egress/haproxy.cfg"      // written by egress-sidecars
	sidecarLog         = "/var/log/egress/sidecars.log" // refused connections and requests
	sidecarScript      = "/usr/local/lib/egress/haproxy.sh"
)

// Addresses of Scaleway's metadata service.
const (
	metadataAddress  = "169.254.42.42"
	metadataAddress6 = "fd00:42::42"
)
