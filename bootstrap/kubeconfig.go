package main

import (
	"bytes"
	"errors"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// errNoKubeconfig omits the error of the parser, which quotes the content of the
// file, possibly a secret.
var errNoKubeconfig = errors.New("is not a kubeconfig, so it is not overwritten: move it away, or set another file in spec.outputs.kubeconfig")

// parseKubeconfig parses a kubeconfig. An empty file is a kubeconfig without
// clusters.
func parseKubeconfig(data []byte) (*clientcmdapi.Config, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return clientcmdapi.NewConfig(), nil
	}
	// clientcmd accepts any YAML map as a kubeconfig.
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

// mergeKubeconfig merges the kubeconfig of a cluster into the content of a file,
// makes its context the current one and returns the name of that context.
// Entries of other clusters are kept. Scaleway names entries after the cluster,
// and clusters may have the same name: if another cluster already uses one of
// the names, the ID of the cluster is appended to all of them.
func mergeKubeconfig(file, added []byte, clusterID string) (merged []byte, current string, err error) {
	config, err := parseKubeconfig(file)
	if err != nil {
		return nil, "", err
	}
	ours, err := parseKubeconfig(added)
	if err != nil || ours.Contexts[ours.CurrentContext] == nil || ours.Clusters[ours.Contexts[ours.CurrentContext].Cluster] == nil {
		return nil, "", errors.New("the kubeconfig that Scaleway returned is not valid")
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
		renamed := context.DeepCopy()
		renamed.Cluster += suffix
		renamed.AuthInfo += suffix
		config.Contexts[name+suffix] = renamed
	}
	config.CurrentContext = ours.CurrentContext + suffix
	merged, err = clientcmd.Write(*config)
	if err != nil {
		return nil, "", errors.New("the merged kubeconfig cannot be written")
	}
	return merged, config.CurrentContext, nil
}

// namesTaken reports whether an entry of another cluster has one of the names.
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
