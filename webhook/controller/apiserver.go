package controller

import (
	"context"
	"fmt"
	"net/netip"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// apiServerService is the Service of the API server, in the namespace "default".
const apiServerService = "kubernetes"

// APIServerAddresses returns the addresses and ports at which the API servers
// listen. They are those of the endpoints of their Service, because a policy is
// enforced after the Service's address has been translated.
func APIServerAddresses(ctx context.Context, reader client.Reader) ([]netip.AddrPort, error) {
	var list discoveryv1.EndpointSliceList
	err := reader.List(ctx, &list, client.InNamespace(metav1.NamespaceDefault),
		client.MatchingLabels{discoveryv1.LabelServiceName: apiServerService}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the addresses of the API server: %w", err)
	}
	var addresses []netip.AddrPort
	for _, slice := range list.Items {
		for _, endpoint := range slice.Endpoints {
			for _, text := range endpoint.Addresses {
				address, err := netip.ParseAddr(text)
				if err != nil {
					continue // the name of a host, which no policy can have
				}
				for _, port := range slice.Ports {
					if port.Port != nil && *port.Port > 0 && *port.Port <= 65535 {
						addresses = append(addresses, netip.AddrPortFrom(address.Unmap(), uint16(*port.Port)))
					}
				}
			}
		}
	}
	return addresses, nil
}
