// Package proxystatus is the page with which a proxy machine answers on
// names.StatusPort: the tenants that Squid serves, as in the squid.conf that it has
// read. It is pure.
//
// The page has a line with the version of its form, and a line with all tenants:
//
//	egress-status/1
//	3129:0123456789abcdef:client-a,3130:fedcba9876543210:client-b
//
// Without a tenant, the second line is "-". Squid makes both lines from notes, and
// percent-encodes spaces in them, so that there are none.
package proxystatus

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"egress.scw/webhook/api/names"
)

const (
	// Head is the first line, without the newline.
	Head = "egress-status/1"
	// MaxSize bounds a page, in bytes: that of 127 tenants with the longest names has
	// 11 KB.
	MaxSize = 16 << 10

	none           = "-"
	separator      = ","
	revisionLength = 16
	maxTenant      = 63
)

// Tenant is a tenant that Squid serves.
type Tenant struct {
	// Port is the tenant's port. A proxy that identifies tenants by certificates alone
	// does not listen on it.
	Port uint16
	// Revision is the tenant's Revision, 16 hexadecimal digits.
	Revision string
	Name     string
}

// String returns the tenant as the page has it.
func (t Tenant) String() string {
	return strconv.Itoa(int(t.Port)) + ":" + t.Revision + ":" + t.Name
}

// Parse returns the tenants of a page in its order, and an error if it is anything
// else than a whole page: of another version or program, truncated, too long, or with
// the same port or tenant twice.
func Parse(page []byte) ([]Tenant, error) {
	if len(page) > MaxSize {
		return nil, fmt.Errorf("the page has more than %d bytes", MaxSize)
	}
	rest, found := bytes.CutPrefix(page, []byte(Head+"\n"))
	if !found {
		return nil, fmt.Errorf("the page does not begin with the line %q", Head)
	}
	line, found := bytes.CutSuffix(rest, []byte("\n"))
	if !found {
		return nil, errors.New("the page does not end with a newline")
	}
	if string(line) == none {
		return nil, nil
	}
	var tenants []Tenant
	ports, known := map[uint16]bool{}, map[string]bool{}
	for text := range strings.SplitSeq(string(line), separator) {
		tenant, err := parseTenant(text)
		if err != nil {
			return nil, fmt.Errorf("tenant %d of the page, %.100q: %w", len(tenants)+1, text, err)
		}
		if ports[tenant.Port] || known[tenant.Name] {
			return nil, fmt.Errorf("tenant %d of the page, %q: its port or name is that of another one", len(tenants)+1, text)
		}
		ports[tenant.Port], known[tenant.Name] = true, true
		tenants = append(tenants, tenant)
	}
	return tenants, nil
}

func parseTenant(text string) (Tenant, error) {
	fields := strings.Split(text, ":")
	if len(fields) != 3 {
		return Tenant{}, errors.New("it is not PORT:REVISION:TENANT")
	}
	port, err := strconv.ParseUint(fields[0], 10, 16)
	if err != nil || port < names.TenantPortMin || port > names.TenantPortMax || strconv.FormatUint(port, 10) != fields[0] {
		return Tenant{}, fmt.Errorf("the port is not between %d and %d", names.TenantPortMin, names.TenantPortMax)
	}
	if len(fields[1]) != revisionLength || !consistsOf(fields[1], "0123456789abcdef") {
		return Tenant{}, fmt.Errorf("the revision is not %d hexadecimal digits", revisionLength)
	}
	if name := fields[2]; name == "" || len(name) > maxTenant || !consistsOf(name, "abcdefghijklmnopqrstuvwxyz0123456789-") {
		return Tenant{}, errors.New("the name of the tenant is not a label of DNS")
	}
	return Tenant{Port: uint16(port), Revision: fields[1], Name: fields[2]}, nil
}

func consistsOf(text, characters string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune(characters, r) })
}
