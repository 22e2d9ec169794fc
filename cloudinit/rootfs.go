package cloudinit

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"text/template"

	"sigs.k8s.io/yaml"
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
	err := walk(func(name string) error {
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
	file, err := constantFile(name)
	if err != nil {
		return writeFile{}, err
	}
	if target, ok := strings.CutSuffix(file.Path, templateSuffix); ok {
		file.Path = target
		if file.Content, err = m.execute(name); err != nil {
			return writeFile{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return file, nil
}

// constantFile returns a file of rootfs as it is.
func constantFile(name string) (writeFile, error) {
	content, err := rootfs.ReadFile(name)
	if err != nil {
		return writeFile{}, err
	}
	file := writeFile{Path: strings.TrimPrefix(name, rootFolder), Permissions: "0644", Content: string(content)}
	if path.Dir(file.Path) == scriptFolder || file.Path == policyScript {
		file.Permissions = "0755"
	}
	return file, nil
}

// constantFiles returns the YAML of the files of rootfs that are the same on every machine,
// by path. They are most of the user data, and a plan renders it for each machine.
var constantFiles = sync.OnceValues(func() (map[string][]byte, error) {
	files := map[string][]byte{}
	return files, walk(func(name string) error {
		if strings.HasSuffix(name, templateSuffix) {
			return nil
		}
		file, err := constantFile(name)
		if err == nil {
			files[file.Path], err = yaml.Marshal([]writeFile{file})
		}
		return err
	})
})

// templates returns the templates of rootfs, by the names of their files.
var templates = sync.OnceValues(func() (*template.Template, error) {
	all := template.New("").Option("missingkey=error")
	return all, walk(func(name string) error {
		if !strings.HasSuffix(name, templateSuffix) {
			return nil
		}
		text, err := rootfs.ReadFile(name)
		if err == nil {
			_, err = all.New(name).Parse(string(text))
		}
		return err
	})
})

// walk visits the files of rootfs, sorted by name.
func walk(visit func(name string) error) error {
	return fs.WalkDir(rootfs, rootFolder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return visit(name)
	})
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
