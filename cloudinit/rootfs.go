package cloudinit

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// rootfs contains the files of the machine at their paths. Files with the suffix
// .tmpl are templates with the values of templateValues.
//
//go:embed rootfs/etc rootfs/usr
var rootfs embed.FS

const (
	rootFolder     = "rootfs"
	templateSuffix = ".tmpl"
)

// files returns the files of the machine: the properties that scripts read, the
// syslog server's authorities, and the files in rootfs, sorted by path.
func (m Machine) files() ([]writeFile, error) {
	files := []writeFile{{Path: valuesFile, Permissions: "0644", Content: m.shellValues()}}
	if m.Syslog != nil && m.Syslog.CA != "" {
		authorities, err := m.Syslog.Authorities()
		if err != nil {
			return nil, err
		}
		files = append(files, writeFile{Path: syslogCA, Permissions: "0644", Content: string(authorities)})
	}
	err := fs.WalkDir(rootfs, rootFolder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := m.file(name)
		if m.has(file.Path) {
			files = append(files, file)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the files of the machine: %w", err)
	}
	return files, nil
}

func (m Machine) file(name string) (writeFile, error) {
	content, err := rootfs.ReadFile(name)
	if err != nil {
		return writeFile{}, err
	}
	file := writeFile{Path: strings.TrimPrefix(name, rootFolder), Permissions: "0644", Content: string(content)}
	if path.Dir(file.Path) == scriptFolder || file.Path == policyScript {
		file.Permissions = "0755"
	}
	if target, ok := strings.CutSuffix(file.Path, templateSuffix); ok {
		file.Path = target
		if file.Content, err = m.execute(file.Content); err != nil {
			return writeFile{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return file, nil
}

// has returns whether the machine has a file of rootfs.
func (m Machine) has(name string) bool {
	switch {
	case name == syslogConf, name == syslogUnit:
		return m.Syslog != nil
	case slices.Contains(sidecarOnly(), name):
		return m.Identity.Sidecars()
	default:
		return true
	}
}

// sidecarOnly are the files of machines that serve sidecars.
func sidecarOnly() []string {
	return []string{
		"/etc/egress/haproxy.base.cfg", "/etc/logrotate.d/egress-sidecars", "/etc/mtail/egress-sidecars.mtail",
		"/etc/systemd/system/egress-sync.service.d/sidecars.conf", "/etc/systemd/system/haproxy.service.d/egress.conf",
		sidecarScript, scriptFolder + "/egress-sidecars",
	}
}
