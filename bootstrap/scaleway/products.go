package scaleway

import (
	"github.com/scaleway/scaleway-sdk-go/api/block/v1"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	nic "github.com/scaleway/scaleway-sdk-go/api/instance/v2alpha1"
	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/api/marketplace/v2"
	"github.com/scaleway/scaleway-sdk-go/api/registry/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"
)

// rows returns the rows of all kinds, in the order of stack.Kinds. It is a
// function, because operations use the table for the permissions of errors.
func rows() []operations {
	return []operations{
		vpcRow(), privateNetworkRow(), gatewayRow(), gatewayNetworkRow(),
		securityGroupRow(), flexibleIPRow(), privateIPRow(), serverRow(),
		volumeRow(), privateNICRow(), attachmentRow(), userDataRow(), powerRow(),
		clusterRow(), poolRow(), registryRow(),
	}
}

// products are the clients of Scaleway's products.
type products struct {
	vpc         *vpc.API
	gateway     *vpcgw.API
	ipam        *ipam.API
	instance    *instance.API
	nic         *nic.API
	block       *block.API
	marketplace *marketplace.API
	k8s         *k8s.API
	registry    *registry.API
}

func newProducts(client *scw.Client) products {
	return products{
		vpc: vpc.NewAPI(client), gateway: vpcgw.NewAPI(client), ipam: ipam.NewAPI(client), instance: instance.NewAPI(client),
		nic: nic.NewAPI(client), block: block.NewAPI(client), marketplace: marketplace.NewAPI(client), k8s: k8s.NewAPI(client),
		registry: registry.NewAPI(client),
	}
}
