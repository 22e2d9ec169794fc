// Package squid renders the configuration of Squid for a proxy machine. It is
// pure: it takes typed values and returns the content of squid.conf.
//
// No value that a tenant chooses reaches the file unchecked. Squid takes a
// newline for the next directive, a leading quote for the name of a file and a
// trailing backslash for a continued line, and `squid -k parse` accepts all of
// them. So every value either has a type that cannot contain such a character (an
// address, a prefix, a port) or is validated here, and no value stands where it
// could start a token.
package squid

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"text/template"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/v1alpha1"
)

// squidConf is the template. Its comments are part of the file, for readers of
// squid.conf on the machine.
//
//go:embed squid.conf.tmpl
var squidConf string

// Render returns the squid.conf of a proxy that serves these tenants. The order
// of the tenants does not matter. The error lists everything that is wrong with
// the arguments, with the paths of the fields; then there is no file.
//
// The addresses in the file must exist on the machine when Squid starts: without
// its egress address Squid cannot query name servers, and stops.
func Render(config Config, tenants []v1alpha1.Tenant) ([]byte, error) {
	if err := validate(config, tenants).ToAggregate(); err != nil {
		return nil, fmt.Errorf("squid.conf cannot be rendered: %w", err)
	}
	parsed, err := template.New("squid.conf").Funcs(template.FuncMap{"base64": base64.StdEncoding.EncodeToString}).Parse(squidConf)
	if err != nil {
		return nil, fmt.Errorf("parsing the template of squid.conf: %w", err)
	}
	var file bytes.Buffer
	if err := parsed.Execute(&file, newValues(config, tenants)); err != nil {
		return nil, fmt.Errorf("rendering squid.conf: %w", err)
	}
	return file.Bytes(), nil
}

func validate(config Config, tenants []v1alpha1.Tenant) field.ErrorList {
	errs := config.validate(tenants, field.NewPath("proxy"))
	return append(errs, v1alpha1.ValidateTenants(tenants, field.NewPath("tenants"))...)
}
