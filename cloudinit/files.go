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

	"egress.scw/webhook/api/v1alpha1"
)

// templates holds the files of the machine under their paths. Those with the
// suffix .tmpl are templates, whose values are machineValues.
//
//go:embed templates
var templates embed.FS

const (
	templateFolder = "templates"
	templateSuffix = ".tmpl"
	scriptFolder   = "/usr/local/sbin"
	valuesFile     = "/etc/egress/egress.conf"

	// metadataAddress and metadataAddress6 are those of Scaleway's metadata
	// service.
	metadataAddress  = "169.254.42.42"
	metadataAddress6 = "fd00:42::42"
)

// files returns the files of the machine, ordered by their paths but for the
// values, which come first.
func (vm VM) files() ([]writeFile, error) {
	files := []writeFile{{Path: valuesFile, Permissions: "0644", Content: vm.values()}}
	err := fs.WalkDir(templates, templateFolder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := vm.file(name)
		files = append(files, file)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the templates: %w", err)
	}
	return files, nil
}

func (vm VM) file(name string) (writeFile, error) {
	content, err := templates.ReadFile(name)
	if err != nil {
		return writeFile{}, err
	}
	file := writeFile{Path: strings.TrimPrefix(name, templateFolder), Permissions: "0644", Content: string(content)}
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
	ManagerPort         int
	MetricsPort         int
	SquidMetricsPort    int
	AuditLog, SyncLog   string
	Metadata, Metadata6 string
}

func (vm VM) execute(text string) (string, error) {
	parsed, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	nic, gateway := "$public_nic", vm.Egress == v1alpha1.EgressGateway
	if gateway {
		nic = "$private_nic"
	}
	var result bytes.Buffer
	err = parsed.Execute(&result, machineValues{
		PrivateAddress: vm.PrivateAddress, PrivateNetwork: vm.PrivateNetwork, NameServers: vm.NameServers,
		SSH: vm.SSH, EgressNIC: nic, PublicForMetadata: gateway, PortMin: v1alpha1.ProxyPortMin, PortMax: v1alpha1.ProxyPortMax, ManagerPort: ManagerPort,
		MetricsPort: MetricsPort, SquidMetricsPort: SquidMetricsPort, AuditLog: AuditLog, SyncLog: syncLog,
		Metadata: metadataAddress, Metadata6: metadataAddress6,
	})
	return result.String(), err
}

// values is the file that scripts read their values from. None of them holds a
// character that means anything to a shell: they are constants, addresses and
// numbers.
func (vm VM) values() string {
	ssh := "no"
	if vm.SSH {
		ssh = "yes"
	}
	var text strings.Builder
	text.WriteString("# What the scripts of the proxy know about this machine.\n")
	for _, value := range []struct{ name, value string }{
		{"EGRESS", string(vm.Egress)},
		{"PRIVATE_ADDRESS", vm.PrivateAddress.String()},
		{"SSH", ssh},
		{"PACKAGES", strings.Join(Packages(), " ")},
		{"METADATA", metadataAddress},
		{"USER_DATA_KEY", UserDataSquidConf},
		{"MAX_VALUE", strconv.Itoa(maxSquidConfValue)},
		{"MAX_CONF", strconv.Itoa(maxSquidConf)},
		{"CERTIFICATE", Certificate},
		{"SYNC_LOG", syncLog},
		{"GENERATION_HEADER", v1alpha1.HeaderGeneration},
	} {
		fmt.Fprintf(&text, "%s='%s'\n", value.name, value.value)
	}
	return text.String()
}
