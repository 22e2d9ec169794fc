package integration

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// pod is a Pod with one container, which has the additional fields, and with
// additional fields of the spec. No scheduler takes it.
func pod(container, spec string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {schedulerName: none, %scontainers: [{name: c, image: none%s}]}}", spec, container)
}

// The level privileged leaves the refusal to the guards: from Kubernetes 1.34 on,
// the level baseline refuses some of the same pods.
var withoutPodSecurity = prepared(merge(namespaceHead, labels("pod-security.kubernetes.io/enforce: privileged")))

func probeHostAttempts() []attempt {
	var attempts []attempt
	for name, manifest := range map[string]string{
		"liveness":      pod(", livenessProbe: {httpGet: {host: 192.0.2.10, port: 80}}", ""),
		"readiness":     pod(", readinessProbe: {tcpSocket: {host: 192.0.2.10, port: 80}}", ""),
		"startup":       pod(", startupProbe: {httpGet: {host: www.example.com, port: 80}}", ""),
		"after a start": pod(", lifecycle: {postStart: {httpGet: {host: 192.0.2.10, port: 80}}}", ""),
		"before a stop": pod(", lifecycle: {preStop: {httpGet: {host: 192.0.2.10, port: 80}}}", ""),
		"stop by TCP":   pod(", lifecycle: {preStop: {tcpSocket: {host: 192.0.2.10, port: 80}}}", ""),
		"the node":      pod(", livenessProbe: {tcpSocket: {host: 127.0.0.1, port: 10250}}", ""),
		"a sidecar": pod("", "initContainers: [{name: s, image: none, restartPolicy: Always, "+
			"startupProbe: {tcpSocket: {host: 192.0.2.10, port: 80}}}], "),
	} {
		attempts = append(attempts, attempt{name: name, prepare: withoutPodSecurity, request: create(manifest)})
	}
	return attempts
}

func volumeAttempts() []attempt {
	var attempts []attempt
	for name, source := range map[string]string{
		"nfs":            "nfs: {server: 192.0.2.10, path: /}",
		"iscsi":          "iscsi: {targetPortal: '192.0.2.10:3260', iqn: iqn.2001-04.com.example:disk, lun: 0}",
		"rbd":            "rbd: {monitors: ['192.0.2.10:6789'], image: i}",
		"cephfs":         "cephfs: {monitors: ['192.0.2.10:6789']}",
		"glusterfs":      "glusterfs: {endpoints: e, path: p}",
		"flexVolume":     "flexVolume: {driver: example.com/driver, options: {server: 192.0.2.10}}",
		"azureFile":      "azureFile: {secretName: s, shareName: s}",
		"quobyte":        "quobyte: {registry: '192.0.2.10:7861', volume: v}",
		"gitRepo":        "gitRepo: {repository: 'https://example.com/repository.git'}",
		"csi of nfs":     "csi: {driver: nfs.csi.k8s.io, volumeAttributes: {server: 192.0.2.10, share: /}}",
		"csi of smb":     "csi: {driver: smb.csi.k8s.io, volumeAttributes: {source: //192.0.2.10/share}}",
		"fibre channel":  "fc: {targetWWNs: ['50060e801049cfd1'], lun: 0}",
		"second of many": "emptyDir: {}}, {name: w, nfs: {server: 192.0.2.10, path: /}",
	} {
		attempts = append(attempts, attempt{
			name: name, prepare: withoutPodSecurity, request: create(pod("", "volumes: [{name: v, "+source+"}], ")),
		})
	}
	return attempts
}

func imageAttempts() []attempt {
	image := func(name string) request {
		return create("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {schedulerName: none, containers: [{name: c, image: '" + name + "'}]}}")
	}
	running := prepared(create(allowedPod))
	return []attempt{
		{name: "another registry", request: image("registry.example.com/a:1")},
		{name: "a folder with the same beginning", request: image("rg.fr-par.scw.cloud/platform-evil/a")},
		{name: "Docker Hub", request: image("a")},
		{name: "the registry as a folder of Docker Hub", request: image("platform/a")},
		{name: "an init container", request: create(pod("", "initContainers: [{name: i, image: registry.example.com/a}], "))},
		{name: "an image volume", request: create("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {schedulerName: none, " +
			"volumes: [{name: v, image: {reference: registry.example.com/a}}], containers: [{name: c, image: rg.fr-par.scw.cloud/platform/a}]}}")},
		{name: "the image of a running pod", prepare: running, request: patch(podHead, types.StrategicMergePatchType,
			"{spec: {containers: [{name: c, image: registry.example.com/a}]}}")},
		{name: "an ephemeral container", rights: right("", "pods/ephemeralcontainers", "patch"), prepare: running, request: ephemeral("registry.example.com/a")},
	}
}
