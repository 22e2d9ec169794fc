package chart_test

import (
	"log/slog"
	"net/netip"
	"path"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

const settingsKey = "settings.yaml"

// settingsOf parses the rendered settings file as the webhook does.
func settingsOf(t *testing.T, r rendered) *settings.Settings {
	t.Helper()
	file := named[*corev1.ConfigMap](t, r, names.SettingsConfigMap).Data[settingsKey]
	parsed, err := settings.Parse([]byte(file))
	if err != nil {
		t.Fatalf("the rendered settings file is wrong:\n%v\n%s", err, file)
	}
	return parsed
}

// TestSettings: every value about the cluster and the product arrives in the
// settings of the webhook.
func TestSettings(t *testing.T) {
	got := settingsOf(t, mustInstall(t, `
proxy:
  addresses: [172.16.28.8, "2001:db8::8"]
  spareAddress: 172.16.28.70
  egressAddresses: {shared: [203.0.113.50], dedicated: {client-a: [203.0.113.51, 203.0.113.52], "42": ["2001:db8::51"]}, gateway: [203.0.113.1]}
cluster: {domain: blue.example.internal, cidrs: [10.32.0.0/20, "fd00:10::/64"]}
dns: {nodeLocalAddress: 169.254.20.10, pods: [{namespace: dns, podLabels: {b: "2", a: "yes"}}, {namespace: dns-2, podLabels: {a: b}, ports: [5353]}]}
certManager: {namespace: pki}
namespaces: {podSecurity: off}
resources: {limits: {memory: 300Mi}}
logLevel: debug`))
	want := &settings.Settings{
		Proxy: settings.Proxy{
			Addresses: []netip.Addr{netip.MustParseAddr("172.16.28.8"), netip.MustParseAddr("2001:db8::8")},
			Spare:     netip.MustParseAddr("172.16.28.70"),
			Egress: settings.EgressAddresses{
				Shared:    []netip.Addr{netip.MustParseAddr("203.0.113.50")},
				Dedicated: map[string][]netip.Addr{"client-a": {netip.MustParseAddr("203.0.113.51"), netip.MustParseAddr("203.0.113.52")}, "42": {netip.MustParseAddr("2001:db8::51")}},
				Gateway:   []netip.Addr{netip.MustParseAddr("203.0.113.1")},
			},
			VerifyPorts: true,
			Identity:    v1alpha1.IdentityPort,
		},
		Sidecar: settings.Sidecar{Image: "egress.scw/sidecar:0.0.0"},
		Cluster: settings.Cluster{
			Domain: "blue.example.internal",
			CIDRs:  []netip.Prefix{netip.MustParsePrefix("10.32.0.0/20"), netip.MustParsePrefix("fd00:10::/64")},
		},
		DNS: settings.DNS{
			Pods: []settings.DNSPods{
				{Namespace: "dns", PodLabels: map[string]string{"a": "yes", "b": "2"}, Ports: []uint16{53}},
				{Namespace: "dns-2", PodLabels: map[string]string{"a": "b"}, Ports: []uint16{5353}},
			},
			NodeLocal: netip.MustParseAddr("169.254.20.10"),
		},
		ProtectedNamespaces: sets.New("kube-system", "default", "kube-public", "kube-node-lease", releaseNamespace, "pki", "dns", "dns-2"),
		Namespaces:          settings.Namespaces{PodSecurity: settings.PodSecurityOff},
		Admission:           settings.Admission{BindAddress: settings.BindAddress{Port: 9443}, CertDir: "/etc/egress-webhook/tls"},
		Metrics:             &settings.BindAddress{Port: 8080},
		Probes:              &settings.BindAddress{Port: 8081},
		LeaderElection:      settings.LeaderElection{Enabled: true, Namespace: releaseNamespace},
		MemoryLimit:         300 << 20,
		LogLevel:            slog.LevelDebug,
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("settings (-want +rendered):\n%s", diff)
	}
}

// TestSettingsByDefault: the values that users may leave out, or set to null or
// to empty, have the defaults of values.yaml.
func TestSettingsByDefault(t *testing.T) {
	for _, values := range []string{
		minimalValues,
		minimalValues + "\ndns: {pods: null, nodeLocalAddress: null}\ncluster: {cidrs: null}",
		minimalValues + "\ndns: {pods: [], nodeLocalAddress: ''}\ncluster: {cidrs: []}",
	} {
		got := settingsOf(t, mustInstall(t, values))
		if len(got.DNS.Pods) != 1 || got.DNS.Pods[0].PodLabels["k8s-app"] != "kube-dns" || len(got.DNS.Pods[0].PodLabels) != 1 || got.DNS.NodeLocal.IsValid() {
			t.Errorf("DNS is %+v with the values:\n%s", got.DNS, values)
		}
		if got.Cluster.Domain != "cluster.local" || len(got.Cluster.CIDRs) > 0 {
			t.Errorf("the cluster is %+v with the values:\n%s", got.Cluster, values)
		}
	}
	if got := settingsOf(t, mustInstall(t, "proxy: {addresses: [172.16.28.8], verifyPorts: false}")); got.Proxy.VerifyPorts {
		t.Error("ports are verified although the value is false")
	}
}

// TestSettingsAgreeWithThePod: the process reads the file and listens on the
// ports that the pod's specification names.
func TestSettingsAgreeWithThePod(t *testing.T) {
	r := mustInstall(t, minimalValues)
	s, container := settingsOf(t, r), onlyContainer(t, r)
	ports := map[string]int32{}
	for _, port := range container.Ports {
		ports[port.Name] = port.ContainerPort
	}
	for name, want := range map[string]settings.BindAddress{"webhook": s.Admission.BindAddress, "metrics": *s.Metrics, "probes": *s.Probes} {
		if want.Host.IsValid() || ports[name] != int32(want.Port) {
			t.Errorf("port %s of the pod is %d, and the process listens on %s", name, ports[name], want)
		}
	}
	mounts := map[string]string{} // volume: path
	for _, mount := range container.VolumeMounts {
		mounts[mount.Name] = mount.MountPath
	}
	if mounts["tls"] != s.Admission.CertDir {
		t.Errorf("the certificate is mounted at %s and read from %s", mounts["tls"], s.Admission.CertDir)
	}
	if want := []string{"--settings=" + path.Join(mounts["settings"], settingsKey)}; !slices.Equal(container.Args, want) {
		t.Errorf("arguments are %q, want %q", container.Args, want)
	}
	index := slices.IndexFunc(podTemplate(t, r).Spec.Volumes, func(volume corev1.Volume) bool { return volume.Name == "settings" })
	if name := only[*corev1.ConfigMap](t, r).Name; index < 0 || podTemplate(t, r).Spec.Volumes[index].ConfigMap.Name != name {
		t.Errorf("the pods do not mount the ConfigMap %s", name)
	}
}

// TestNewSettingsRestartPods: pods are replaced if their settings change, and
// only then.
func TestNewSettingsRestartPods(t *testing.T) {
	checksum := func(values string) string {
		return podTemplate(t, mustInstall(t, minimalValues+"\n"+values)).Annotations["checksum/settings"]
	}
	before := checksum("")
	if before == "" {
		t.Fatal("the pod template has no checksum of the settings")
	}
	if after := checksum("logLevel: debug"); after == before {
		t.Error("pods keep running with their old settings")
	}
	if after := checksum("replicas: 3\npodAnnotations: {a: b}\ntenants: [{name: client-a, proxy: {port: 3129}}]"); after != before {
		t.Error("pods restart although their settings are the same")
	}
}
