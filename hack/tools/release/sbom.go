package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/package-url/packageurl-go"
)

// writeBOM writes the SBOM of a binary: the Go modules that the linker recorded
// in it, and Go's standard library, as CycloneDX JSON. Extra modules are data
// that the binary's image contains besides.
func writeBOM(file, binary string, p program, s source, extra ...*debug.Module) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("modules of %s: %w", binary, err)
	}
	sum, err := checksum(binary)
	if err != nil {
		return err
	}
	subject := component(cyclonedx.ComponentTypeApplication, p.Name, s.Version, "pkg:generic/"+p.Name+"@"+s.Version)
	subject.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: sum}}

	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	components := []cyclonedx.Component{goModule(&debug.Module{Path: "std", Version: goVersion})}
	for _, module := range append(info.Deps, extra...) {
		if module.Replace != nil {
			module = module.Replace
		}
		components = append(components, goModule(module))
	}
	references := make([]string, len(components))
	for i := range components {
		references[i] = components[i].BOMRef
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Timestamp: s.Time.Format(time.RFC3339), Component: &subject}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: subject.BOMRef, Dependencies: &references}}

	handle, err := os.Create(file)
	if err != nil {
		return err
	}
	defer handle.Close()
	encoder := cyclonedx.NewBOMEncoder(handle, cyclonedx.BOMFileFormatJSON).SetPretty(true)
	if err := encoder.EncodeVersion(bom, cyclonedx.SpecVersion1_6); err != nil {
		return fmt.Errorf("SBOM of %s: %w", binary, err)
	}
	return handle.Close()
}

// goModule is the component of a module. The hash is that of go.sum (h1), which
// is the SHA-256 sum of a list of the module's files and their sums.
func goModule(module *debug.Module) cyclonedx.Component {
	namespace, name := "", module.Path
	if i := strings.LastIndex(module.Path, "/"); i >= 0 {
		namespace, name = module.Path[:i], module.Path[i+1:]
	}
	url := packageurl.NewPackageURL(packageurl.TypeGolang, namespace, name, module.Version, nil, "").ToString()
	c := component(cyclonedx.ComponentTypeLibrary, module.Path, module.Version, url)
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(module.Sum, "h1:")); err == nil && len(sum) > 0 {
		c.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	}
	return c
}

func component(kind cyclonedx.ComponentType, name, version, url string) cyclonedx.Component {
	return cyclonedx.Component{BOMRef: url, Type: kind, Name: name, Version: version, PackageURL: url}
}
