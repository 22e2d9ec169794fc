package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// Validate returns everything that is wrong with egress.yaml once its defaults
// are set, each error with its path. What only Scaleway knows (the zones, types
// and versions that there are, quotas) is not looked at, nor are apiVersion and
// kind, which LoadEgress checks.
func (e *Egress) Validate() field.ErrorList {
	errs := validateConfigName(e.Name, field.NewPath("name"))
	if e.Project != "" {
		errs = append(errs, validateID(e.Project, field.NewPath("project"))...)
	}
	errs = append(errs, e.validatePlace()...)
	errs = append(errs, e.validateNetwork(field.NewPath("network"))...)
	errs = append(errs, e.validateGateway(field.NewPath("gateway"))...)
	errs = append(errs, e.validateProxy(field.NewPath("proxy"))...)
	if e.Cluster != nil {
		errs = append(errs, e.validateCluster(field.NewPath("cluster"))...)
	}
	if e.Registry != nil {
		errs = append(errs, validateLabel(e.Registry.Name, field.NewPath("registry", "name"))...)
	}
	errs = append(errs, v1alpha1.ValidateTenants(e.Tenants, field.NewPath("tenants"))...)
	if e.Proxy.Egress == cloudinit.SourceGateway {
		errs = append(errs, refuseDedicated(e.Tenants, field.NewPath("tenants"))...)
	}
	return append(errs, e.Outputs.validate(field.NewPath("outputs"))...)
}

// Shapes of what egress.yaml names. Whether the thing exists, Scaleway says.
const (
	patternID          = `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`
	patternRegion      = `^[a-z]{2}-[a-z]{3}$`
	patternZone        = `^[a-z]{2}-[a-z]{3}-[1-9][0-9]?$`
	patternType        = `^[A-Z0-9]+(-[A-Z0-9]+)*$`
	patternGatewayType = `^VPC-GW(-[A-Z0-9]+)+$`
	patternImage       = `^[a-z0-9]+(_[a-z0-9]+)*$`
	patternVersion     = `^[1-9][0-9]*\.[0-9]+(\.[0-9]+)?$`
)

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// maxConfigName leaves room for what resources' names add to it: Scaleway and
// the machines' host names take 63 characters.
const maxConfigName = 32

func validateConfigName(name string, at *field.Path) field.ErrorList {
	errs := validateLabel(name, at)
	if len(name) > maxConfigName {
		errs = append(errs, field.TooLong(at, name, maxConfigName))
	}
	return errs
}

// validateLabel demands a DNS label.
func validateLabel(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "a DNS label, such as client-a")}
	}
	return problemsOf(name, validation.IsDNS1123Label(name), at)
}

func validateID(id string, at *field.Path) field.ErrorList {
	if matches(patternID, id) {
		return nil
	}
	return field.ErrorList{field.Invalid(at, id,
		"must be a UUID in lower case, such as 11111111-2222-3333-4444-555555555555, without the region that some tools put before it")}
}

func (e *Egress) validatePlace() field.ErrorList {
	errs := e.validateZone(e.Zone, field.NewPath("zone"))
	if e.Region != "" && !matches(patternRegion, e.Region) {
		errs = append(errs, field.Invalid(field.NewPath("region"), e.Region, "must be a region such as fr-par"))
	}
	return errs
}

// validateZone demands a zone of the region.
func (e *Egress) validateZone(zone string, at *field.Path) field.ErrorList {
	switch {
	case zone == "":
		return field.ErrorList{field.Required(at, "a zone such as fr-par-1")}
	case !matches(patternZone, zone):
		return field.ErrorList{field.Invalid(at, zone, "must be a zone such as fr-par-1")}
	case matches(patternRegion, e.Region) && regionOf(zone) != e.Region:
		return field.ErrorList{field.Invalid(at, zone, "must be in the region "+e.Region+", which network and cluster are in")}
	}
	return nil
}

// validateType demands the name of a commercial type.
func validateType(name string, at *field.Path) field.ErrorList {
	upper := strings.ToUpper(strings.ReplaceAll(name, "_", "-"))
	switch {
	case name == "":
		return field.ErrorList{field.Required(at, "a commercial type such as PRO2-XXS")}
	case matches(patternType, name):
		return nil
	case matches(patternType, upper):
		return field.ErrorList{field.Invalid(at, name, "must be in upper case with dashes: write "+upper)}
	}
	return field.ErrorList{field.Invalid(at, name, "must be a commercial type such as PRO2-XXS")}
}

// The sizes of a network to create: at least 16 addresses, at most 4096.
const (
	minNetworkBits = 20
	maxNetworkBits = 28
)

func (e *Egress) validateNetwork(at *field.Path) field.ErrorList {
	switch n := e.Network; {
	case n.ID == "" && n.CIDR == "":
		return field.ErrorList{field.Required(at, "id of a Private Network, or cidr of one to create")}
	case n.ID != "" && n.CIDR != "":
		return field.ErrorList{field.Forbidden(at.Child("cidr"), "an existing network (network.id) has its CIDR: remove one of the two")}
	case n.ID != "":
		return validateID(n.ID, at.Child("id"))
	default:
		if problem := e.networkProblem(); problem != "" {
			return field.ErrorList{field.Invalid(at.Child("cidr"), n.CIDR, problem)}
		}
		return nil
	}
}

func (e *Egress) networkProblem() string {
	network, problem := parseIPv4CIDR(e.Network.CIDR)
	switch {
	case problem != "":
		return problem
	case network.Overlaps(netip.MustParsePrefix("100.64.0.0/10")):
		return "must not overlap with 100.64.0.0/10: Scaleway keeps it for itself"
	case network.Overlaps(netip.MustParsePrefix("198.18.0.0/15")):
		return "must not overlap with 198.18.0.0/15: Scaleway's Kubernetes keeps it for itself"
	case !isPrivate(network):
		return "must be private: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
	case network.Bits() < minNetworkBits || network.Bits() > maxNetworkBits:
		return fmt.Sprintf("must be between /%d and /%d", minNetworkBits, maxNetworkBits)
	}
	if e.Cluster == nil {
		return ""
	}
	for _, taken := range e.Cluster.ranges() {
		if network.Overlaps(taken.prefix) {
			return fmt.Sprintf("must not overlap with %s, %s", taken.prefix, taken.path)
		}
	}
	return ""
}

func (e *Egress) validateGateway(at *field.Path) field.ErrorList {
	g := e.Gateway
	var errs field.ErrorList
	if !matches(patternGatewayType, g.Type) {
		errs = append(errs, field.Invalid(at.Child("type"), g.Type, "must be a type of Public Gateways, such as VPC-GW-S"))
	}
	off := g.off()
	switch c := e.Cluster; {
	case off == "":
	case e.Proxy.Egress == cloudinit.SourceGateway:
		errs = append(errs, field.Invalid(at.Child(off), false, "must be true with proxy.egress Gateway: requests leave that way"))
	case e.Network.CIDR != "" && c != nil && len(c.Pools) > 0:
		// A network that exists may have a gateway of somebody else's.
		errs = append(errs, field.Invalid(at.Child(off), false,
			"must be true with pools in a new network: their nodes have no public addresses, and reach their control plane that way"))
	}
	return errs
}

// off names the first field that keeps traffic from leaving by the gateway.
func (g *GatewayConfig) off() string {
	isOff := func(value *bool) bool { return value != nil && !*value }
	switch {
	case isOff(g.Enabled):
		return "enabled"
	case isOff(g.Masquerade):
		return "masquerade"
	case isOff(g.DefaultRoute):
		return "defaultRoute"
	}
	return ""
}

const (
	minProxyVolumeGB = 10
	maxProxyVolumeGB = 1000
	maxNameServers   = 3 // As resolv.conf, which holds them too.
)

func (e *Egress) validateProxy(at *field.Path) field.ErrorList {
	p := e.Proxy
	errs := validateType(p.Type, at.Child("type"))
	if !matches(patternImage, p.Image) {
		errs = append(errs, field.Invalid(at.Child("image"), p.Image, "must be the label of a marketplace image, such as debian_bookworm"))
	}
	if p.VolumeGB < minProxyVolumeGB || p.VolumeGB > maxProxyVolumeGB {
		errs = append(errs, field.Invalid(at.Child("volumeGB"), p.VolumeGB, fmt.Sprintf("must be between %d and %d", minProxyVolumeGB, maxProxyVolumeGB)))
	}
	if p.PrivateIP == "" {
		errs = append(errs, field.Required(at.Child("privateIP"), "the address that the proxy is to have in the Private Network"))
	} else if problem := e.proxyAddressProblem(); problem != "" {
		errs = append(errs, field.Invalid(at.Child("privateIP"), p.PrivateIP, problem))
	}
	if p.Egress != cloudinit.SourceFlexibleIP && p.Egress != cloudinit.SourceGateway {
		errs = append(errs, field.NotSupported(at.Child("egress"), p.Egress, []cloudinit.SourceAddress{cloudinit.SourceFlexibleIP, cloudinit.SourceGateway}))
	}
	errs = append(errs, e.validateNameServers(at.Child("nameServers"))...)
	if syslog := p.AuditLog.Syslog; syslog != nil {
		errs = append(errs, syslog.Validate(at.Child("auditLog", "syslog"))...)
	}
	if p.Egress == cloudinit.SourceGateway && len(p.SSHSources) > 0 {
		return append(errs, field.Forbidden(at.Child("sshSources"), "with proxy.egress Gateway the proxy answers nothing by its public address: remove it"))
	}
	return append(errs, validateCIDRs(p.SSHSources, at.Child("sshSources"), func(source netip.Prefix) string {
		if source.Bits() == 0 {
			return "must not be everybody: whoever gets in by SSH owns the proxy; list the networks of your administrators"
		}
		return ""
	})...)
}

func (e *Egress) proxyAddressProblem() string {
	address, err := netip.ParseAddr(e.Proxy.PrivateIP)
	if err != nil || !address.Is4() {
		return "must be an IPv4 address such as 172.16.0.10"
	}
	if !isPrivate(netip.PrefixFrom(address, address.BitLen())) {
		return "must be private: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
	}
	if network, problem := parseIPv4CIDR(e.Network.CIDR); problem == "" {
		switch {
		case !network.Contains(address):
			return "must be in network.cidr, " + network.String()
		case address == network.Addr():
			return "must be a machine's: it is the address of network.cidr itself"
		case !network.Contains(address.Next()):
			return "must be a machine's: it is the broadcast address of network.cidr"
		}
	}
	if e.Cluster == nil {
		return ""
	}
	for _, taken := range e.Cluster.ranges() {
		if taken.prefix.Contains(address) {
			return fmt.Sprintf("must not be in %s, %s", taken.prefix, taken.path)
		}
	}
	return ""
}

func (e *Egress) validateNameServers(at *field.Path) field.ErrorList {
	servers := e.Proxy.NameServers
	if len(servers) == 0 {
		if !matches(patternZone, e.Zone) {
			return nil // The zone's error comes first; it may bring a default.
		}
		return field.ErrorList{field.Required(at, "Scaleway documents no public resolvers in "+e.Zone+": name those to ask, by their IPv4 addresses")}
	}
	var errs field.ErrorList
	if len(servers) > maxNameServers {
		errs = append(errs, field.TooMany(at, len(servers), maxNameServers))
	}
	seen := map[string]bool{}
	for i, server := range servers {
		if problem := nameServerProblem(server, e.Proxy.Egress); problem != "" {
			errs = append(errs, field.Invalid(at.Index(i), server, problem))
		} else if seen[server] {
			errs = append(errs, field.Duplicate(at.Index(i), server))
		}
		seen[server] = true
	}
	return errs
}

func nameServerProblem(server string, egress cloudinit.SourceAddress) string {
	address, err := netip.ParseAddr(server)
	switch {
	case err != nil || !address.Is4():
		return "must be an IPv4 address"
	case !address.IsGlobalUnicast():
		return "must be the address of one machine that is neither loopback nor link-local"
	case egress == cloudinit.SourceFlexibleIP && (address.IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(address)):
		return "must be public with proxy.egress FlexibleIP: queries leave by the flexible IP, from which nothing private is reached"
	}
	return ""
}

// refuseDedicated refuses tenants' own addresses where there are no flexible IPs.
func refuseDedicated(tenants []v1alpha1.Tenant, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, tenant := range tenants {
		if tenant.HasDedicatedIP() {
			errs = append(errs, field.Invalid(at.Index(i).Child("proxy", "egressIP"), tenant.Proxy.EgressIP,
				"must be Shared with proxy.egress Gateway: all requests leave by the gateway's address"))
		}
	}
	return errs
}

func (o *OutputsConfig) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, output := range []struct{ name, file string }{{"kubeconfig", o.Kubeconfig}, {"values", o.Values}} {
		if base := filepath.Base(output.file); strings.HasSuffix(output.file, "/") || base == "." || base == ".." {
			errs = append(errs, field.Invalid(at.Child(output.name), output.file, "must be the path of a file"))
		}
	}
	if filepath.Clean(o.Kubeconfig) == filepath.Clean(o.Values) {
		errs = append(errs, field.Invalid(at.Child("values"), o.Values, "must be another file than outputs.kubeconfig"))
	}
	return errs
}

// validateAgainst refuses outputs that would replace the configuration itself.
func (o *OutputsConfig) validateAgainst(config string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, output := range []struct{ name, file string }{{"kubeconfig", o.Kubeconfig}, {"values", o.Values}} {
		path := output.file
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(config), path)
		}
		if path == filepath.Clean(config) {
			errs = append(errs, field.Invalid(at.Child(output.name), output.file, "must be another file than this one"))
		}
	}
	return errs
}

// isPrivate says whether a range of IPv4 is one of RFC 1918.
func isPrivate(prefix netip.Prefix) bool {
	for _, private := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} {
		if covers(netip.MustParsePrefix(private), prefix) {
			return true
		}
	}
	return false
}

func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// parseIPv4CIDR reads a range of IPv4 addresses, or says what is wrong with it.
func parseIPv4CIDR(text string) (netip.Prefix, string) {
	prefix, problem := parseCIDR(text)
	if problem == "" && !prefix.Addr().Is4() {
		return netip.Prefix{}, "must be IPv4"
	}
	return prefix, problem
}

// parseCIDR reads a range without host bits, or says what is wrong with it.
func parseCIDR(text string) (netip.Prefix, string) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return netip.Prefix{}, "must be a CIDR: for this one address write " + netip.PrefixFrom(address, address.BitLen()).String()
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, "must be a CIDR such as 192.0.2.0/24"
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, "must be written as the IPv4 range that it is"
	case prefix != prefix.Masked():
		return netip.Prefix{}, "must have no host bits: write " + prefix.Masked().String()
	}
	return prefix, ""
}

// validateCIDRs demands different ranges of IPv4 in which check finds no
// problem.
func validateCIDRs(texts []string, at *field.Path, check func(netip.Prefix) string) field.ErrorList {
	var errs field.ErrorList
	seen := map[netip.Prefix]bool{}
	for i, text := range texts {
		prefix, problem := parseIPv4CIDR(text)
		if problem == "" {
			problem = check(prefix)
		}
		switch {
		case problem != "":
			errs = append(errs, field.Invalid(at.Index(i), text, problem))
		case seen[prefix]:
			errs = append(errs, field.Duplicate(at.Index(i), text))
		}
		seen[prefix] = true
	}
	return errs
}

// validateOneOf demands one of a few texts.
func validateOneOf(text string, at *field.Path, texts ...string) field.ErrorList {
	if slices.Contains(texts, text) {
		return nil
	}
	return field.ErrorList{field.NotSupported(at, text, texts)}
}

// problemsOf are the errors of Kubernetes' own checks.
func problemsOf(value string, problems []string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, problem := range problems {
		errs = append(errs, field.Invalid(at, value, problem))
	}
	return errs
}

// validateLabelKey demands a key of Kubernetes' labels and taints that is not
// the tenant's, which pools get by their field tenant.
func validateLabelKey(key string, at *field.Path) field.ErrorList {
	if key == names.LabelTenant {
		return field.ErrorList{field.Forbidden(at, "comes with the pool's field tenant: set that, and remove this")}
	}
	return problemsOf(key, validation.IsQualifiedName(key), at)
}
