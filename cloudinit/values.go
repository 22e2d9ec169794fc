package cloudinit

import (
	"bytes"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"egress.scw/webhook/api/names"
)

// templateValues are the values of the templates in rootfs.
type templateValues struct {
	PrivateAddress    netip.Addr
	PrivateNetwork    netip.Prefix
	NameServers       []netip.Addr
	SSH               bool
	EgressNIC         string // a variable of nftables
	PublicForMetadata bool   // requests leave by the private NIC: the public one is for the metadata service only
	PortMin, PortMax  int
	// ReleaseMin to ReleaseMax are the tenants' ports plus ReleaseOffset.
	ReleaseOffset, ReleaseMin, ReleaseMax int
	OpenPorts                             string
	TenantConnections                     int
	StatusPort                            int
	// StatusConnections and StatusClientConnections bound the connections to it.
	StatusConnections, StatusClientConnections int
	TenantMetricsPort                          int
	MachineMetricsPort                         int
	SquidMetricsPort                           int
	AuditLog                                   string
	MetricsFolder                              string
	Metadata, Metadata6                        string
	// Sidecars is whether the machine serves sidecars.
	Sidecars           bool
	SidecarPort        int
	SidecarAddress     netip.Addr
	SidecarConnections int
	SidecarLog         string
	SidecarFiles       sidecarFiles
	SidecarHeader      string // contains the tenant's name, from HAProxy to Squid
	// Syslog is zero on a machine without a syslog server, which has no file with
	// these values.
	Syslog                 Syslog
	SyslogTarget, SyslogCA string
}

// sidecarFiles are the paths of HAProxy's files.
type sidecarFiles struct{ Certificate, Authorities, Conf string }

func (m Machine) templateValues() templateValues {
	nic, gateway := "$public_nic", m.SourceAddress == SourceGateway
	if gateway {
		nic = "$private_nic"
	}
	var syslog Syslog
	if m.Syslog != nil {
		syslog = *m.Syslog
	}
	ca := debianCA
	if syslog.CA != "" {
		ca = syslogCA
	}
	return templateValues{
		PrivateAddress: m.PrivateAddress, PrivateNetwork: m.PrivateNetwork, NameServers: m.NameServers,
		SSH: m.SSH, EgressNIC: nic, PublicForMetadata: gateway, PortMin: names.TenantPortMin, PortMax: names.TenantPortMax,
		ReleaseOffset: names.ReleaseOffset, ReleaseMin: names.TenantPortMin + names.ReleaseOffset, ReleaseMax: names.TenantPortMax + names.ReleaseOffset,
		OpenPorts:         path.Dir(openPorts) + "/*.nft",
		TenantConnections: TenantConnections, StatusPort: names.StatusPort,
		StatusConnections: statusConnections, StatusClientConnections: statusClientConnections, TenantMetricsPort: names.TenantMetricsPort,
		MachineMetricsPort: names.MachineMetricsPort, SquidMetricsPort: names.SquidMetricsPort, AuditLog: AuditLog, MetricsFolder: metricsFolder,
		Sidecars: m.Identity.Sidecars(), SidecarPort: names.SidecarPort, SidecarAddress: sidecarAddress, SidecarConnections: SidecarConnections, SidecarLog: sidecarLog,
		SidecarFiles: sidecarFiles{sidecarCertificate, sidecarAuthorities, sidecarConf}, SidecarHeader: names.HeaderTenant,
		Metadata: metadataAddress, Metadata6: metadataAddress6,
		Syslog: syslog, SyslogTarget: syslog.target(), SyslogCA: ca,
	}
}

func (m Machine) execute(name string) (string, error) {
	parsed, err := templates()
	if err != nil {
		return "", err
	}
	var result bytes.Buffer
	err = parsed.ExecuteTemplate(&result, name, m.templateValues())
	return result.String(), err
}

// shellValues is the file from which scripts read the properties of their machine.
// The values are constants, addresses and numbers: none contains a character that
// has a meaning in a shell.
func (m Machine) shellValues() string {
	yesNo := map[bool]string{true: "yes", false: "no"}
	var text strings.Builder
	text.WriteString("# Properties of this machine, for the scripts of the proxy.\n")
	values := []struct{ name, value string }{
		{"SOURCE_ADDRESS", string(m.SourceAddress)},
		{"PRIVATE_ADDRESS", m.PrivateAddress.String()},
		{"SSH", yesNo[m.SSH]},
		{"SYSLOG", yesNo[m.Syslog != nil]},
		{"PACKAGES", strings.Join(m.packages(), " ")},
		{"METADATA", metadataAddress},
		{"USER_DATA_KEY", UserDataSquidConf},
		{"MAX_VALUE", strconv.Itoa(maxSquidConfValue)},
		{"MAX_CONF", strconv.Itoa(maxSquidConf)},
		{"STATUS_KEY", UserDataStatus},
		{"MAX_STATUS", strconv.Itoa(MaxStatus)},
		{"CERTIFICATE", certificate},
		{"ERROR_PAGES", errorPages},
		{"READY", readyFile},
		{"AUDIT_LOG", AuditLog},
		{"METRICS", metricsFolder},
		{"REVISION_HEADER", names.HeaderRevision},
		{"PROBE_URL", names.ProbeURL},
		{"RELEASE_OFFSET", strconv.Itoa(names.ReleaseOffset)},
		{"STATUS_PORT", strconv.Itoa(names.StatusPort)},
		{"OPEN_PORTS", openPorts},
		{"HOLDERS", holders},
	}
	if m.Identity.Sidecars() {
		values = append(values, []struct{ name, value string }{
			{"SIDECAR_ADDRESS", sidecarAddress.String()},
			{"SIDECAR_CERTIFICATE", sidecarCertificate},
			{"SIDECAR_AUTHORITIES", sidecarAuthorities},
			{"SIDECAR_CONF", sidecarConf},
			{"SIDECAR_LOG", sidecarLog},
			{"TENANT_HEADER", names.HeaderTenant},
			{"TENANT_CONNECTIONS", strconv.Itoa(TenantConnections)},
		}...)
	}
	for _, value := range values {
		fmt.Fprintf(&text, "%s='%s'\n", value.name, value.value)
	}
	return text.String()
}
