package settings

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/sidecar"
)

// parse returns the typed settings, and every error with its path. With
// errors, the settings are not valid.
func (f *File) parse() (*Settings, field.ErrorList) {
	p := &parser{}
	p.header(f)
	s := &Settings{
		Proxy:               p.proxy(f.Proxy, field.NewPath("proxy")),
		Cluster:             p.cluster(f.Cluster, field.NewPath("cluster")),
		DNS:                 p.dns(f.DNS, field.NewPath("dns")),
		Sidecar:             p.sidecar(f.Sidecar, field.NewPath("sidecar")),
		ProtectedNamespaces: p.namespaces(f.ProtectedNamespaces, field.NewPath("protectedNamespaces")),
		Namespaces:          p.namespaceRules(f.Namespaces, field.NewPath("namespaces")),
		Admission:           p.admission(f.Admission, field.NewPath("admission")),
		Metrics:             p.server(f.Metrics, field.NewPath("metrics")),
		Probes:              p.server(f.Probes, field.NewPath("probes")),
		LeaderElection:      p.leaderElection(f.LeaderElection, field.NewPath("leaderElection")),
		MemoryLimit:         p.memoryLimit(f.MemoryLimit, field.NewPath("memoryLimit")),
		LogLevel:            p.logLevel(f.LogLevel, field.NewPath("logLevel")),
	}
	return s, p.errs
}

// parser collects the errors of a file.
type parser struct{ errs field.ErrorList }

func (p *parser) add(errs ...*field.Error) { p.errs = append(p.errs, errs...) }

func (p *parser) header(f *File) {
	if f.APIVersion != APIVersion {
		p.add(field.NotSupported(field.NewPath("apiVersion"), f.APIVersion, []string{APIVersion}))
	}
	if f.Kind != Kind {
		p.add(field.NotSupported(field.NewPath("kind"), f.Kind, []string{Kind}))
	}
}

func (p *parser) proxy(f FileProxy, path *field.Path) Proxy {
	at := path.Child("addresses")
	if len(f.Addresses) == 0 {
		p.add(field.Required(at, "list at least one IP address of the proxy, such as 172.16.28.8"))
	}
	var addresses []netip.Addr
	for i, text := range f.Addresses {
		address, ok := p.address(text, at.Index(i), nil)
		switch {
		case ok && slices.Contains(addresses, address):
			p.add(field.Duplicate(at.Index(i), text))
		case ok:
			addresses = append(addresses, address)
		}
	}
	return Proxy{
		Addresses: addresses, Spare: p.spare(f.SpareAddress, addresses, path.Child("spareAddress")), Egress: p.egressAddresses(f.EgressAddresses, path.Child("egressAddresses")), VerifyPorts: f.VerifyPorts,
		Identity: p.identity(f.Identity, path.Child("identity")), Machines: p.machines(f.Machines, addresses, path.Child("machines")),
	}
}

// spare parses the address of the machine that stands in for the one in addresses.
func (p *parser) spare(text string, addresses []netip.Addr, path *field.Path) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	address, ok := p.address(text, path, nil)
	switch {
	case !ok:
		return netip.Addr{}
	case slices.Contains(addresses, address):
		p.add(field.Invalid(path, text, "must not be one of proxy.addresses"))
	case len(addresses) > 0 && address.Is4() != addresses[0].Is4():
		p.add(field.Invalid(path, text, "must be of the family of proxy.addresses[0]"))
	}
	return address
}

// address parses the address of one machine: a global unicast address, or one
// that the function also admits. An IPv4-mapped IPv6 address becomes the IPv4
// address, because no implementation of NetworkPolicy compares the two forms.
func (p *parser) address(text string, path *field.Path, also func(netip.Addr) bool) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		p.add(field.Invalid(path, text, "must be an IP address, without port, prefix length and zone"))
		return netip.Addr{}, false
	}
	address = address.Unmap()
	if !address.IsGlobalUnicast() && (also == nil || !also(address)) {
		p.add(field.Invalid(path, text, "must be the address of one machine: not loopback, multicast, link-local or unspecified"))
		return netip.Addr{}, false
	}
	return address, true
}

func (p *parser) cluster(f FileCluster, path *field.Path) Cluster {
	cluster := Cluster{CIDRs: p.cidrs(f.CIDRs, path.Child("cidrs"))}
	domain, err := parseDomain(f.Domain)
	if err != nil {
		p.add(field.Invalid(path.Child("domain"), f.Domain, err.Error()))
	}
	cluster.Domain = domain
	return cluster
}

func parseDomain(text string) (string, error) {
	entry, err := noproxy.Parse(text)
	switch {
	case err != nil:
		return "", err
	case !entry.IsName():
		return "", fmt.Errorf("must be a domain name, such as cluster.local")
	case strings.Contains(entry.String(), "_"):
		return "", fmt.Errorf("must not contain underscores, which names of hosts do not have")
	case entry.CoversPublicHosts():
		return "", fmt.Errorf("is a public suffix: pods would reach every host below it without the proxy")
	}
	return entry.String(), nil
}

func (p *parser) cidrs(texts []string, path *field.Path) []netip.Prefix {
	if len(texts) > sidecar.MaxRanges {
		p.add(field.TooMany(path, len(texts), sidecar.MaxRanges))
	}
	var prefixes []netip.Prefix
	for i, text := range texts {
		entry, err := noproxy.Parse(text)
		if err != nil {
			p.add(field.Invalid(path.Index(i), text, "must be a CIDR, such as 10.32.0.0/20"))
			continue
		}
		prefix, err := netip.ParsePrefix(entry.String())
		switch {
		case err != nil:
			p.add(field.Invalid(path.Index(i), text, "must be a CIDR, such as 10.32.0.0/20"))
		case prefix.Bits() == 0:
			p.add(field.Invalid(path.Index(i), text, "covers the whole internet: pods would never use the proxy"))
		default:
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes
}

func (p *parser) dns(f FileDNS, path *field.Path) DNS {
	dns := DNS{}
	if len(f.Pods) == 0 {
		p.add(field.Required(path.Child("pods"), "list the cluster's DNS pods: without them, tenants' pods could resolve no name"))
	}
	for i, pods := range f.Pods {
		dns.Pods = append(dns.Pods, p.dnsPods(pods, path.Child("pods").Index(i)))
	}
	if f.NodeLocalAddress != "" {
		// Node-local caches mostly have a link-local address, 169.254.20.10.
		dns.NodeLocal, _ = p.address(f.NodeLocalAddress, path.Child("nodeLocalAddress"), netip.Addr.IsLinkLocalUnicast)
	}
	if f.Closed != nil {
		closed := path.Child("closed")
		address, _ := p.address(f.Closed.Address, closed.Child("address"), nil)
		dns.Closed = &ClosedDNS{Address: address, Pods: p.dnsPods(f.Closed.Pods, closed.Child("pods"))}
	}
	return dns
}

func (p *parser) dnsPods(f FileDNSPods, path *field.Path) DNSPods {
	pods := DNSPods{Namespace: f.Namespace, PodLabels: f.PodLabels}
	p.namespace(f.Namespace, path.Child("namespace"))
	if len(f.PodLabels) == 0 {
		p.add(field.Required(path.Child("podLabels"), "without labels, NetworkPolicies would open the ports of every pod in the DNS namespace"))
	}
	p.labels(f.PodLabels, path.Child("podLabels"))
	if len(f.Ports) == 0 {
		p.add(field.Required(path.Child("ports"), "list the ports of the DNS pods, or leave the field out for 53"))
	}
	for i, number := range f.Ports {
		at := path.Child("ports").Index(i)
		switch {
		case number < 1 || number > 65535:
			p.add(field.Invalid(at, number, "must be between 1 and 65535"))
		case slices.Contains(f.Ports[:i], number):
			p.add(field.Duplicate(at, number))
		default:
			pods.Ports = append(pods.Ports, uint16(number))
		}
	}
	return pods
}

func (p *parser) labels(labels map[string]string, path *field.Path) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		for _, problem := range validation.IsQualifiedName(name) {
			p.add(field.Invalid(path.Key(name), name, problem))
		}
		for _, problem := range validation.IsValidLabelValue(labels[name]) {
			p.add(field.Invalid(path.Key(name), labels[name], problem))
		}
	}
}

func (p *parser) namespaces(names []string, path *field.Path) sets.Set[string] {
	for i, name := range names {
		p.namespace(name, path.Index(i))
	}
	return sets.New(names...)
}

func (p *parser) namespace(name string, path *field.Path) {
	for _, problem := range validation.IsDNS1123Label(name) {
		p.add(field.Invalid(path, name, problem))
	}
}

func (p *parser) admission(f FileAdmission, path *field.Path) Admission {
	if f.CertDir == "" {
		p.add(field.Required(path.Child("certDir"), "name the folder of tls.crt and tls.key"))
	}
	before := len(p.errs)
	bind := p.bindAddress(f.BindAddress, path.Child("bindAddress"))
	if bind.Port == 0 && len(p.errs) == before {
		p.add(field.Invalid(path.Child("bindAddress"), f.BindAddress, "must have a port other than 0, to which the Service sends requests"))
	}
	return Admission{BindAddress: bind, CertDir: f.CertDir}
}

func (p *parser) server(f FileServer, path *field.Path) *BindAddress {
	if f.BindAddress == "" {
		return nil
	}
	bind := p.bindAddress(f.BindAddress, path.Child("bindAddress"))
	return &bind
}

func (p *parser) bindAddress(text string, path *field.Path) BindAddress {
	bind, err := parseBindAddress(text)
	if err != nil {
		p.add(field.Invalid(path, text, `must be an address to listen on: a port, such as ":9443", or an IP address and a port`))
	}
	return bind
}

func parseBindAddress(text string) (BindAddress, error) {
	host, service, err := net.SplitHostPort(text)
	if err != nil {
		return BindAddress{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return BindAddress{}, err
	}
	var address netip.Addr
	if host != "" {
		address, err = netip.ParseAddr(host)
	}
	return BindAddress{Host: address, Port: uint16(port)}, err
}

func (p *parser) leaderElection(f FileLeaderElection, path *field.Path) LeaderElection {
	if f.Namespace != "" {
		p.namespace(f.Namespace, path.Child("namespace"))
	}
	return LeaderElection(f)
}

func (p *parser) namespaceRules(f FileNamespaces, path *field.Path) Namespaces {
	level := PodSecurity(f.PodSecurity)
	if known := []PodSecurity{PodSecurityBaseline, PodSecurityRestricted, PodSecurityOff}; !slices.Contains(known, level) {
		p.add(field.NotSupported(path.Child("podSecurity"), level, known))
	}
	return Namespaces{PodSecurity: level}
}

// minMemoryLimit leaves room for the largest request, beside the some 40 MiB that
// the process takes without requests.
const minMemoryLimit = 64 << 20

func (p *parser) memoryLimit(text string, path *field.Path) int64 {
	if text == "" {
		return 0
	}
	limit, err := resource.ParseQuantity(text)
	if err != nil || limit.Value() < minMemoryLimit {
		p.add(field.Invalid(path, text, "must be a quantity of memory of at least 64Mi, such as 256Mi"))
	}
	return limit.Value()
}

// logLevel parses a level. The debug level of slog is four levels of logr below
// info, so that it includes the details that libraries log.
func (p *parser) logLevel(text string, path *field.Path) slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "error": slog.LevelError}
	level, ok := levels[text]
	if !ok {
		p.add(field.NotSupported(path, text, []string{"debug", "info", "error"}))
	}
	return level
}
