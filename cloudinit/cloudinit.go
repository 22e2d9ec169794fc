// Package cloudinit turns a machine into a proxy: it renders the user data with
// which a new machine with Debian 12 or 13 boots, and the squid.conf that the machine
// reads from its user data from then on. It is pure: it takes typed values and returns
// bytes.
//
// The files of the machine are in rootfs/, at the paths that they have on the
// machine; rootfs/README.md describes them. Scripts are the same on every machine:
// they read the properties of their machine from one file. User data contains no
// secrets, because every process of root on the machine can read it.
package cloudinit

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// The keys of the Instance's user data.
const (
	UserDataCloudInit = "cloud-init"
	UserDataSquidConf = "squid-conf"
	// UserDataStatus is written by a machine that serves sidecars: a Status.
	UserDataStatus = "egress-status"
)

// setupUnit turns the machine into a proxy.
const setupUnit = "egress-setup.service"

// TenantConnections is the maximum number of open connections of one tenant;
// further connections are reset. Squid has 65,536 descriptors for all tenants, and
// a tunnel takes two: they suffice for eight tenants at this bound.
const TenantConnections = 4000

// Open connections to the port for the state of the machine, in all and from one address;
// further ones are reset. The webhook's leader has one, and the address is a node's, if
// pods are masqueraded.
const (
	statusConnections       = 256
	statusClientConnections = 16
)

// cloudConfig is the part of cloud-init's configuration that is used. It does not
// contain packages: egress-setup installs them, and gives the reason.
type cloudConfig struct {
	Hostname       string      `json:"hostname"`
	ManageEtcHosts string      `json:"manage_etc_hosts"`
	Timezone       string      `json:"timezone"`
	SSHPasswords   bool        `json:"ssh_pwauth"`
	DisableRoot    bool        `json:"disable_root"` // false: the project's SSH keys give access to root, whatever the image's default
	BootCommands   [][]string  `json:"bootcmd"`
	Files          []writeFile `json:"write_files,omitempty"`
	RunCommands    [][]string  `json:"runcmd"`
}

// writeFile is a file as cloud-init writes it: owned by root, before packages are
// installed.
type writeFile struct {
	Path        string `json:"path"`
	Permissions string `json:"permissions"`
	Content     string `json:"content"`
}

// Render returns the user data with which a proxy boots. The error lists
// everything that is wrong with the machine's properties, with the paths of the
// fields; then there is no user data.
func Render(machine Machine) ([]byte, error) {
	if err := machine.validate().ToAggregate(); err != nil {
		return nil, fmt.Errorf("user data cannot be rendered: %w", err)
	}
	files, err := machine.files()
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(cloudConfig{
		Hostname:       machine.Hostname,
		ManageEtcHosts: "localhost",
		// The time zone of the timers: the reboot after them is configured as a
		// local time.
		Timezone:     "Etc/UTC",
		BootCommands: machine.bootCommands(),
		// The status of the last command is the status of the boot.
		RunCommands: [][]string{{"systemctl", "enable", setupUnit}, {"systemctl", "start", setupUnit}},
	})
	if err == nil {
		text, err = appendFiles(text, files)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding user data: %w", err)
	}
	return append([]byte("#cloud-config\n"), text...), nil
}

// appendFiles adds the files to the YAML of a cloudConfig, whose last key is theirs.
func appendFiles(text []byte, files []writeFile) ([]byte, error) {
	constant, err := constantFiles()
	if err != nil {
		return nil, err
	}
	text = append(text, "write_files:\n"...)
	for _, file := range files {
		encoded, isConstant := constant[file.Path]
		if !isConstant {
			if encoded, err = yaml.Marshal([]writeFile{file}); err != nil {
				return nil, err
			}
		}
		text = append(text, encoded...)
	}
	return text, nil
}

// bootCommands mask the servers that Debian starts when they are installed: Squid open
// to all clients on port 3128, HAProxy with a file of its own. Masked, they do not start
// until egress-sync has a file for them.
func (m Machine) bootCommands() [][]string {
	commands := [][]string{{"cloud-init-per", "once", "mask-squid", "systemctl", "mask", "squid.service"}}
	if m.Identity.Sidecars() {
		commands = append(commands, []string{"cloud-init-per", "once", "mask-haproxy", "systemctl", "mask", "haproxy.service"})
	}
	return commands
}
