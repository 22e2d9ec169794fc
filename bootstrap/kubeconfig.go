package main

import (
	"bytes"
	"errors"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// errNoKubeconfig does not say what a parser said: it quotes what it stumbles
// over, which may be a secret.
var errNoKubeconfig = errors.New("is not a kubeconfig, and stays as it is: move it away, or name another file in outputs.kubeconfig")

// parseKubeconfig reads a kubeconfig. An empty one is one without clusters.
func parseKubeconfig(data []byte) (*clientcmdapi.Config, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return clientcmdapi.NewConfig(), nil
	}
	// clientcmd takes any YAML with fields for a kubeconfig.
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(data, &kind); err != nil || kind.Kind != "Config" {
		return nil, errNoKubeconfig
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		return nil, errNoKubeconfig
	}
	return config, nil
}

// mergeKubeconfig adds a cluster's kubeconfig to what a file holds, and makes
// its context the current one, whose name it returns. What the file holds of
// other clusters stays: entries of Scaleway's are named after the cluster, and
// clusters may share a name, so that ours get the cluster's ID as well if their
// names are taken.
func mergeKubeconfig(file, added []byte, clusterID string) (merged []byte, current string, err error) {
	config, err := parseKubeconfig(file)
	if err != nil {
		return nil, "", err
	}
	ours, err := parseKubeconfig(added)
	if err != nil || ours.Contexts[ours.CurrentContext] == nil || ours.Clusters[ours.Contexts[ours.CurrentContext].Cluster] == nil {
		return nil, "", errors.New("what Scaleway returned as the cluster's kubeconfig is none")
	}
	suffix := ""
	if namesTaken(config, ours) {
		suffix = "-" + clusterID
	}
	for name, cluster := range ours.Clusters {
		config.Clusters[name+suffix] = cluster
	}
	for name, user := range ours.AuthInfos {
		config.AuthInfos[name+suffix] = user
	}
	for name, context := range ours.Contexts {
		context = context.DeepCopy()
		context.Cluster += suffix
		context.AuthInfo += suffix
		config.Contexts[name+suffix] = context
	}
	config.CurrentContext = ours.CurrentContext + suffix
	merged, err = clientcmd.Write(*config)
	if err != nil {
		return nil, "", errors.New("the merged kubeconfig cannot be written")
	}
	return merged, config.CurrentContext, nil
}

// namesTaken says whether entries of another cluster have one of the names.
func namesTaken(config, ours *clientcmdapi.Config) bool {
	server := ours.Clusters[ours.Contexts[ours.CurrentContext].Cluster].Server
	for name := range ours.Clusters {
		if cluster, ok := config.Clusters[name]; ok && cluster.Server != server {
			return true
		}
	}
	for name, context := range config.Contexts {
		if cluster, ok := config.Clusters[context.Cluster]; ok && cluster.Server == server {
			continue
		}
		if ours.Contexts[name] != nil || ours.AuthInfos[context.AuthInfo] != nil {
			return true
		}
	}
	return false
}
