package cloudinit

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"text/template"

	"egress.scw/webhook/api/names"
)

// rootfs holds the files of the machine under their paths. Those with the
// suffix .tmpl are templates, whose values are machineValues.
//
//go:embed rootfs/etc rootfs/usr
var rootfs embed.FS

const (
	rootFolder     = "rootfs"
	templateSuffix = ".tmpl"
	scriptFolder   = "/usr/local/sbin"
	syslogConf     = "/etc/egress/rsyslog.conf"
	syslogUnit     = "/etc/systemd/system/egress-syslog.service"
	syslogCA       = "/etc/egress/syslog-ca.pem"
	debianCA       = "/etc/ssl/certs/ca-certificates.crt"
	valuesFile     = "/etc/egress/egress.conf"
	readyFile      = "/var/lib/egress/ready"

	// metadataAddress and metadataAddress6 are those of Scaleway's metadata
	// service.
	metadataAddress  = "169.254.42.42"
	metadataAddress6 = "fd00:42::42"
)

// files returns the files of the machine, ordered by their paths but for the
// values, which come first, and the syslog server's authorities, which come
// next.
func (vm VM) files() ([]writeFile, error) {
	files := []writeFile{{Path: valuesFile, Permissions: "0644", Content: vm.values()}}
	if vm.Syslog != nil && vm.Syslog.CA != "" {
		authorities, err := vm.Syslog.Authorities()
		if err != nil {
			return nil, err
		}
		files = append(files, writeFile{Path: syslogCA, Permissions: "0644", Content: string(authorities)})
	}
	err := fs.WalkDir(rootfs, rootFolder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := vm.file(name)
		if vm.Syslog != nil || file.Path != syslogConf && file.Path != syslogUnit {
			files = append(files, file)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the files of the machine: %w", err)
	}
	return files, nil
}

func (vm VM) file(name string) (writeFile, error) {
	content, err := rootfs.ReadFile(name)
	if err != nil {
		return writeFile{}, err
	}
	file := writeFile{Path: strings.TrimPrefix(name, rootFolder), Permissions: "0644", Content: string(content)}
	if path.Dir(file.Path) == scriptFolder {
		file.Permissions = "0755"
	}
	if target, ok := strings.CutSuffix(file.Path, templateSuffix); ok {
		file.Path = target
		if file.Content, err = vm.execute(file.Content); err != nil {
			return writeFile{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return file, nil
}

// machineValues is what templates read.
type machineValues struct {
	PrivateAddress      netip.Addr
	PrivateNetwork      netip.Prefix
	NameServers         []netip.Addr
	SSH                 bool
	EgressNIC           string // a variable of nftables
	PublicForMetadata   bool   // requests leave by the private NIC
	PortMin, PortMax    int
	TenantConnections   int
	ManagerPort         int
	MetricsPort         int
	SquidMetricsPort    int
	AuditLog, SyncLog   string
	Metadata, Metadata6 string
	// Syslog holds nothing on machines without, which leave its file out.
	Syslog                 Syslog
	SyslogTarget, SyslogCA string
}

func (vm VM) execute(text string) (string, error) {
	parsed, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	nic, gateway := "$public_nic", vm.Egress == SourceGateway
	if gateway {
		nic = "$private_nic"
	}
	var syslog Syslog
	if vm.Syslog != nil {
		syslog = *vm.Syslog
	}
	ca := debianCA
	if syslog.CA != "" {
		ca = syslogCA
	}
	var result bytes.Buffer
	err = parsed.Execute(&result, machineValues{
		PrivateAddress: vm.PrivateAddress, PrivateNetwork: vm.PrivateNetwork, NameServers: vm.NameServers,
		SSH: vm.SSH, EgressNIC: nic, PublicForMetadata: gateway, PortMin: names.TenantPortMin, PortMax: names.TenantPortMax,
		TenantConnections: TenantConnections, ManagerPort: ManagerPort, MetricsPort: MetricsPort, SquidMetricsPort: SquidMetricsPort, AuditLog: AuditLog, SyncLog: syncLog,
		Metadata: metadataAddress, Metadata6: metadataAddress6,
		Syslog: syslog, SyslogTarget: syslog.target(), SyslogCA: ca,
	})
	return result.String(), err
}

// values is the file that scripts read their values from. None of them holds a
// character that means anything to a shell: they are constants, addresses and
// numbers.
func (vm VM) values() string {
	yes := map[bool]string{true: "yes", false: "no"}
	var text strings.Builder
	text.WriteString("# What the scripts of the proxy know about this machine.\n")
	for _, value := range []struct{ name, value string }{
		{"EGRESS", string(vm.Egress)},
		{"PRIVATE_ADDRESS", vm.PrivateAddress.String()},
		{"SSH", yes[vm.SSH]},
		{"SYSLOG", yes[vm.Syslog != nil]},
		{"PACKAGES", strings.Join(vm.packages(), " ")},
		{"METADATA", metadataAddress},
		{"USER_DATA_KEY", UserDataSquidConf},
		{"MAX_VALUE", strconv.Itoa(maxSquidConfValue)},
		{"MAX_CONF", strconv.Itoa(maxSquidConf)},
		{"CERTIFICATE", Certificate},
		{"ERROR_PAGES", ErrorPages},
		{"READY", readyFile},
		{"AUDIT_LOG", AuditLog},
		{"SYNC_LOG", syncLog},
		{"REVISION_HEADER", names.HeaderRevision},
	} {
		fmt.Fprintf(&text, "%s='%s'\n", value.name, value.value)
	}
	return text.String()
}
