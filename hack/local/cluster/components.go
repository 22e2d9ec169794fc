package cluster

import (
	"strconv"

	"egress.scw/hack/local/process"
)

// etcd without fsync: its data is not worth the disk's time.
func (c *Cluster) etcd() process.Command {
	client := "https://127.0.0.1:" + strconv.Itoa(c.ports.etcd)
	peer := "http://127.0.0.1:" + strconv.Itoa(c.ports.etcdPeer)
	return c.Command("etcd",
		"--data-dir="+c.path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
		"--cert-file="+c.PKI("etcd.crt"), "--key-file="+c.PKI("etcd.key"),
		"--client-cert-auth", "--trusted-ca-file="+c.PKI("ca.crt"),
	)
}

func (c *Cluster) apiServer() process.Command {
	bind, reconciler := "127.0.0.1", "none" // pods cannot reach loopback, so there is no endpoint to publish
	if c.Netns != "" {
		bind, reconciler = "0.0.0.0", "lease"
	}
	args := []string{
		"--bind-address=" + bind, "--secure-port=" + strconv.Itoa(c.ports.apiServer),
		"--advertise-address=" + c.Address.String(), "--endpoint-reconciler-type=" + reconciler,
		"--etcd-servers=https://127.0.0.1:" + strconv.Itoa(c.ports.etcd), "--etcd-cafile=" + c.PKI("ca.crt"),
		"--etcd-certfile=" + c.PKI("etcd-client.crt"), "--etcd-keyfile=" + c.PKI("etcd-client.key"),
		"--tls-cert-file=" + c.PKI("apiserver.crt"), "--tls-private-key-file=" + c.PKI("apiserver.key"),
		"--client-ca-file=" + c.PKI("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc." + Domain,
		"--service-account-key-file=" + c.PKI("sa.crt"), "--service-account-signing-key-file=" + c.PKI("sa.key"),
		"--service-cluster-ip-range=" + ServiceCIDR,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--kubelet-client-certificate=" + c.PKI("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + c.PKI("apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority=" + c.PKI("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + c.PKI("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.PKI("front-proxy-client.crt"), "--proxy-client-key-file=" + c.PKI("front-proxy-client.key"),
		"--profiling=false",
	}
	if c.AuditedUser != "" {
		args = append(args, "--audit-policy-file="+c.auditPolicy(), "--audit-log-path="+c.auditLog())
	}
	return c.Command("kube-apiserver", args...)
}

func (c *Cluster) controllerManager() process.Command {
	return c.Command("kube-controller-manager",
		"--bind-address=127.0.0.1", "--secure-port="+strconv.Itoa(c.ports.controllerManager),
		"--kubeconfig="+c.Kubeconfig("controller-manager"),
		"--authentication-kubeconfig="+c.Kubeconfig("controller-manager"),
		"--authorization-kubeconfig="+c.Kubeconfig("controller-manager"),
		"--leader-elect=false", "--use-service-account-credentials=true",
		"--service-account-private-key-file="+c.PKI("sa.key"), "--root-ca-file="+c.PKI("ca.crt"),
		"--cluster-signing-cert-file="+c.PKI("ca.crt"), "--cluster-signing-key-file="+c.PKI("ca.key"),
		"--allocate-node-cidrs=true", "--cluster-cidr="+PodCIDR, "--service-cluster-ip-range="+ServiceCIDR,
	)
}

func (c *Cluster) scheduler() process.Command {
	return c.Command("kube-scheduler",
		"--bind-address=127.0.0.1", "--secure-port="+strconv.Itoa(c.ports.scheduler),
		"--kubeconfig="+c.Kubeconfig("scheduler"),
		"--authentication-kubeconfig="+c.Kubeconfig("scheduler"),
		"--authorization-kubeconfig="+c.Kubeconfig("scheduler"),
		"--leader-elect=false",
	)
}

// Command is a program of the multi-call binary. It runs in the cluster's
// network namespace.
func (c *Cluster) Command(program string, args ...string) process.Command {
	return process.Command{Name: program, Path: c.Binary, Args: append([]string{program}, args...), Netns: c.Netns}
}
