package cloudinit

import (
	"bytes"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"text/template"

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
	ManagerPort                           int
	TenantMetricsPort                     int
	MachineMetricsPort                    int
	SquidMetricsPort                      int
	AuditLog                              string
	MetricsFolder                         string
	Metadata, Metadata6                   string
	// Syslog is zero on a machine without a syslog server, which has no file with
	// these values.
	Syslog                 Syslog
	SyslogTarget, SyslogCA string
}

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
		TenantConnections: TenantConnections, ManagerPort: names.ProxyManagerPort, TenantMetricsPort: names.TenantMetricsPort,
		MachineMetricsPort: names.MachineMetricsPort, SquidMetricsPort: names.SquidMetricsPort, AuditLog: AuditLog, MetricsFolder: metricsFolder,
		Metadata: metadataAddress, Metadata6: metadataAddress6,
		Syslog: syslog, SyslogTarget: syslog.target(), SyslogCA: ca,
	}
}

func (m Machine) execute(text string) (string, error) {
	parsed, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var result bytes.Buffer
	err = parsed.Execute(&result, m.templateValues())
	return result.String(), err
}

// shellValues is the file from which scripts read the properties of their machine.
// The values are constants, addresses and numbers: none contains a character that
// has a meaning in a shell.
func (m Machine) shellValues() string {
	yesNo := map[bool]string{true: "yes", false: "no"}
	var text strings.Builder
	text.WriteString("# Properties of this machine, for the scripts of the proxy.\n")
	for _, value := range []struct{ name, value string }{
		{"SOURCE_ADDRESS", string(m.SourceAddress)},
		{"PRIVATE_ADDRESS", m.PrivateAddress.String()},
		{"SSH", yesNo[m.SSH]},
		{"SYSLOG", yesNo[m.Syslog != nil]},
		{"PACKAGES", strings.Join(m.packages(), " ")},
		{"METADATA", metadataAddress},
		{"USER_DATA_KEY", UserDataSquidConf},
		{"MAX_VALUE", strconv.Itoa(maxSquidConfValue)},
		{"MAX_CONF", strconv.Itoa(maxSquidConf)},
		{"CERTIFICATE", certificate},
		{"ERROR_PAGES", errorPages},
		{"READY", readyFile},
		{"AUDIT_LOG", AuditLog},
		{"METRICS", metricsFolder},
		{"REVISION_HEADER", names.HeaderRevision},
		{"PROBE_URL", names.ProbeURL},
		{"RELEASE_OFFSET", strconv.Itoa(names.ReleaseOffset)},
		{"OPEN_PORTS", openPorts},
		{"HOLDERS", holders},
	} {
		fmt.Fprintf(&text, "%s='%s'\n", value.name, value.value)
	}
	return text.String()
}
