package netpol

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"

	"egress.scw/hack/local/netpol/attach"
)

var (
	podAddress = netip.MustParseAddr("10.244.0.7")
	outside    = netip.MustParseAddr("192.0.2.10")
)

// start returns an enforcer with full caches and without a queue, and a client
// of its socket.
func start(t *testing.T, client *fake.Clientset) (*Enforcer, *attach.Client, corelisters.PodLister) {
	t.Helper()
	e := &Enforcer{
		Client: client, Node: "node1", PodCIDR: netip.MustParsePrefix("10.244.0.0/16"),
		Socket: filepath.Join(t.TempDir(), "s"), Log: slog.New(slog.DiscardHandler),
	}
	pods, err := e.watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- e.attached.serve(ctx, e.Socket, pods) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	plugin := attach.NewClient(e.Socket)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		err := plugin.Add(t.Context(), attach.Attachment{Container: "none"})
		if err != nil && strings.Contains(err.Error(), "400") { // it answers
			return e, plugin, pods
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// pod is a pod without an address in its status, as it is while its sandbox is
// made.
func pod(namespace, name, uid string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(uid)},
		Spec:       corev1.PodSpec{NodeName: "node1"},
	}
}

// syn is the first packet of a TCP connection.
func syn(from, to netip.Addr, port uint16) []byte {
	packet := make([]byte, 40)
	packet[0], packet[8], packet[9] = 0x45, 64, 6 // version and header length, TTL, TCP
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	copy(packet[12:], from.AsSlice())
	copy(packet[16:], to.AsSlice())
	binary.BigEndian.PutUint16(packet[20:], 40000)
	binary.BigEndian.PutUint16(packet[22:], port)
	packet[32], packet[33] = 5<<4, 2 // header length, SYN
	return packet
}

// onlyPort is a policy that admits connections to one port of any address.
func onlyPort(namespace string, port int32) *networkingv1.NetworkPolicy {
	number, tcp := intstr.FromInt32(port), corev1.ProtocolTCP
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "egress-scw"},
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress:      []networkingv1.NetworkPolicyEgressRule{{Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &number}}}},
		},
	}
}

// A pod's first packet is judged by the policies of its namespace, before the
// API has the pod's address.
func TestFirstPacket(t *testing.T) {
	e, plugin, _ := start(t, fake.NewClientset(
		pod("plain", "p", "1"), pod("tenant", "p", "2"), onlyPort("tenant", 3129),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "plain"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tenant"}},
	))
	check := func(when string, port uint16, want bool) {
		t.Helper()
		if got := e.admits(t.Context(), syn(podAddress, outside, port)); got != want {
			t.Errorf("%s, port %d: admitted %t, want %t", when, port, got, want)
		}
	}
	check("before the pod is attached", 80, false)

	add := func(a attach.Attachment) {
		t.Helper()
		a.Addresses = []netip.Addr{podAddress}
		if err := plugin.Add(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(container string) {
		t.Helper()
		if err := plugin.Remove(t.Context(), container); err != nil {
			t.Fatal(err)
		}
	}
	add(attach.Attachment{Container: "c1", Namespace: "plain", Name: "p", UID: "1"})
	check("attached, without a policy", 80, true)

	remove("c1")
	check("detached", 80, false)

	// The runtime may report the end of the former sandbox after the next one
	// has got its address.
	add(attach.Attachment{Container: "c2", Namespace: "plain", Name: "p", UID: "1"})
	add(attach.Attachment{Container: "c3", Namespace: "tenant", Name: "p", UID: "2"})
	remove("c2")
	check("a tenant's", 80, false)
	check("a tenant's", 3129, true)
}

// An address in a pod's status is not evidence: the attachment is.
func TestStatusOfAnotherPod(t *testing.T) {
	other := pod("plain", "p", "1")
	other.Status.PodIPs = []corev1.PodIP{{IP: podAddress.String()}}
	e, plugin, _ := start(t, fake.NewClientset(
		other, pod("tenant", "p", "2"), onlyPort("tenant", 3129),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "plain"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tenant"}},
	))
	if !e.admits(t.Context(), syn(podAddress, outside, 80)) {
		t.Error("a pod that was attached before this enforcer started is refused")
	}
	if err := plugin.Add(t.Context(), attach.Attachment{
		Container: "c1", Namespace: "tenant", Name: "p", UID: "2", Addresses: []netip.Addr{podAddress},
	}); err != nil {
		t.Fatal(err)
	}
	if e.admits(t.Context(), syn(podAddress, outside, 80)) {
		t.Error("the tenant's pod is judged as the pod whose status has its address")
	}
}

// A pod of a StatefulSet has the name of the pod before it. Its labels may
// differ, so the answer waits for the pod itself.
func TestPodOfTheSameName(t *testing.T) {
	client := fake.NewClientset(pod("plain", "web-0", "old"))
	_, _, pods := start(t, client)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	attachment := attach.Attachment{Container: "c", Namespace: "plain", Name: "web-0", UID: "new"}
	if err := waitPod(short, pods, attachment); err == nil || !strings.Contains(err.Error(), "plain/web-0") {
		t.Errorf("with the former pod in the API: %v", err)
	}

	done := make(chan error, 1)
	go func() { done <- waitPod(t.Context(), pods, attachment) }()
	if err := client.CoreV1().Pods("plain").Delete(t.Context(), "web-0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Pods("plain").Create(t.Context(), pod("plain", "web-0", "new"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Kubelet's UID of a static pod is another one than that of its pod in the API.
func TestStaticPod(t *testing.T) {
	mirror := pod("kube-system", "etcd-node1", "api")
	mirror.Annotations = map[string]string{annotationConfigHash: "hash"}
	_, _, pods := start(t, fake.NewClientset(mirror))
	if err := waitPod(t.Context(), pods, attach.Attachment{Namespace: "kube-system", Name: "etcd-node1", UID: "hash"}); err != nil {
		t.Error(err)
	}
}

// A node whose enforcer has ended can still remove pods.
func TestRemoveWithoutAnEnforcer(t *testing.T) {
	if err := attach.NewClient(filepath.Join(t.TempDir(), "s")).Remove(t.Context(), "c1"); err != nil {
		t.Error(err)
	}
}
