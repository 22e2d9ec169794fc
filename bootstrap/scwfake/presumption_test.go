package scwfake_test

import (
	"maps"

	"github.com/scaleway/scaleway-sdk-go/api/iam/v1alpha1"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	instance2 "github.com/scaleway/scaleway-sdk-go/api/instance/v2alpha1"
	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/api/marketplace/v2"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
)

// presumption brings the fake into the state that a recording requires.
type presumption func(c *cloud) ids

// presumptions has an entry for every recording.
func presumptions() map[string]presumption {
	nothing := func(*cloud) ids { return nil }
	return map[string]presumption{
		"block_volume_404":                           nothing,
		"block_volume_delete_204":                    volumeLeftBehind,
		"block_volume_get_available_after_terminate": volumeLeftBehind,
		"block_volume_get_in_use":                    volumeInUse,
		"cluster_404":                                nothing,
		"cluster_create":                             aNetwork,
		"cluster_delete":                             readyPool,
		"cluster_get_pool_required":                  aCluster,
		"cluster_get_ready":                          readyPool,
		"error_403_permissions_denied":               fault(scwfake.FaultPermissionsDenied),
		"error_403_quotas_exceeded":                  fault(scwfake.FaultQuota),
		"error_409_sg_in_use":                        groupInUse,
		"error_409_transient_state_gateway_network":  gatewayBeingAttached,
		"error_412_pn_still_in_use_RECONSTRUCTED":    aBooking,
		"error_412_precondition_failed_secret":       protectedServer,
		"error_429_empty_body":                       fault(scwfake.FaultTooManyRequests),
		"error_out_of_stock":                         fault(scwfake.FaultOutOfStock),
		"error_quota_instance_legacy":                fault(scwfake.FaultQuota),
		"flexible_ip_create":                         nothing,
		"gateway_404":                                nothing,
		"gateway_create":                             nothing,
		"gateway_delete":                             aGateway,
		"gateway_get_configuring_during_attach":      gatewayBeingAttached,
		"gateway_get_running":                        aGateway,
		"gateway_ip_create":                          nothing,
		"gateway_network_404":                        nothing,
		"gateway_network_create_status_created":      gatewayAndNetwork,
		"gateway_network_delete":                     attachedGateway,
		"gateway_network_get_ready":                  attachedGateway,
		"gateway_network_patch":                      attachedGateway,
		"iam_api_key_404":                            nothing,
		"iam_api_key_create":                         anApplication,
		"iam_api_key_delete_204":                     anAPIKey,
		"iam_api_key_get":                            anAPIKey,
		"iam_application_404":                        nothing,
		"iam_application_create":                     nothing,
		"iam_application_get":                        anApplication,
		"iam_applications_list":                      anApplication,
		"iam_policy_create":                          anApplication,
		"iam_rules_list":                             aPolicy,
		"instance_server_availability":               nothing,
		"instance_server_types_play2":                nothing,
		"ipam_book_ip":                               aNetwork,
		"ipam_get_ip_free":                           aBooking,
		"ipam_ips_of_gateway_network":                attachedGateway,
		"ipam_list_ips_of_nic":                       serverWithNIC,
		"ipam_list_ips_of_pn":                        serverWithNIC,
		"ipam_release_204":                           aBooking,
		"k8s_acls_list_default":                      aCluster,
		"k8s_acls_set":                               aCluster,
		"k8s_versions":                               nothing,
		"cluster_credentials":                        aCluster,
		"marketplace_local_images_sbs":               nothing,
		"node_server_get":                            nodeServer,
		"nodes_list":                                 readyPool,
		"pool_create_public_ip_disabled":             aCluster,
		"pool_create_taints_labels":                  aCluster,
		"pool_delete":                                readyPool,
		"pool_get_ready":                             readyPool,
		"pool_get_scaling":                           newPool,
		"pool_set_labels":                            richPool,
		"pool_set_taints":                            richPool,
		"private_network_create":                     aNetwork,
		"private_network_delete_204":                 aNetwork,
		"private_nic_v1_create":                      serverAndNetwork,
		"private_nic_v2_available":                   serverWithNIC,
		"private_nic_v2_create_running_server":       runningServerAndBooking,
		"private_nic_v2_create_stopped_server":       serverAndNetwork,
		"private_nic_v2_delete_204":                  freeNIC,
		"registry_404_untyped":                       nothing,
		"registry_namespace_create":                  nothing,
		"security_group_create":                      nothing,
		"security_group_set_rules":                   aGroup,
		"server_action_poweron_202":                  aServer,
		"server_action_terminate_202":                runningServer,
		"server_create_sbs":                          anImage,
		"server_get_404":                             nothing,
		"server_get_running":                         runningServer,
		"server_get_starting":                        startingServer,
		"server_get_with_nic_running":                serverWithNIC,
		"server_userdata_get_cloud_init":             serverWithUserData,
		"server_userdata_list":                       aServer,
		"server_userdata_patch_cloud_init":           aServer,
		"vpc_create":                                 nothing,
	}
}

func anApplication(c *cloud) ids {
	app := must(iam.NewAPI(c.client).CreateApplication(&iam.CreateApplicationRequest{
		Name: "tf_tests_data_source_basic", OrganizationID: scwfake.DefaultOrganizationID,
	}))(c.tb)
	return ids{"applications": app.ID, "application_id": app.ID}
}

func aPolicy(c *cloud) ids {
	app := anApplication(c)["applications"]
	policy := must(iam.NewAPI(c.client).CreatePolicy(&iam.CreatePolicyRequest{
		Name: "p", OrganizationID: scwfake.DefaultOrganizationID, ApplicationID: &app,
		Rules: []*iam.RuleSpecs{{
			PermissionSetNames: &[]string{"ContainerRegistryReadOnly"}, OrganizationID: new(scwfake.DefaultOrganizationID),
		}},
	}))(c.tb)
	return ids{"policy_id": policy.ID}
}

func anAPIKey(c *cloud) ids {
	app := anApplication(c)["applications"]
	key := must(iam.NewAPI(c.client).CreateAPIKey(&iam.CreateAPIKeyRequest{ApplicationID: &app, Description: "d"}))(c.tb)
	return ids{"api-keys": key.AccessKey}
}

func fault(kind scwfake.FaultKind) presumption {
	return func(c *cloud) ids {
		c.fake.SetFaults([]scwfake.Fault{{Kind: kind}})
		return nil
	}
}

func aNetwork(c *cloud) ids {
	n := c.newNetwork()
	return ids{"private-networks": n.ID, "private_network_id": n.ID, "vpc_id": must(c.vpc.CreateVPC(&vpc.CreateVPCRequest{Name: "v"}))(c.tb).ID}
}

func aBooking(c *cloud) ids {
	n := c.newNetwork()
	ip := must(c.ipam.BookIP(&ipam.BookIPRequest{Source: &ipam.Source{PrivateNetworkID: &n.ID}}))(c.tb)
	return ids{"private-networks": n.ID, "private_network_id": n.ID, "ips": ip.ID, "ip_ids": ip.ID}
}

func aServer(c *cloud) ids { return ids{"servers": c.newServer("s").ID} }

func startingServer(c *cloud) ids {
	s := c.newServer("s", "t")
	c.act(s, instance.ServerActionPoweron)
	return ids{"servers": s.ID}
}

func runningServer(c *cloud) ids {
	s := c.newServer("s", "t")
	c.start(s)
	return ids{"servers": s.ID, "server_id": s.ID}
}

func protectedServer(c *cloud) ids {
	s := c.newServer("s")
	must(c.instance.UpdateServer(&instance.UpdateServerRequest{ServerID: s.ID, Zone: zone, Protected: new(true)}))(c.tb)
	return ids{"servers": s.ID}
}

func serverWithUserData(c *cloud) ids {
	s := c.newServer("s")
	c.setUserData(s, "cloud-init", "#cloud-config\n")
	return ids{"servers": s.ID}
}

func serverAndNetwork(c *cloud) ids {
	s, n := c.newServer("s"), c.newNetwork()
	return ids{"servers": s.ID, "server_id": s.ID, "private_network_id": n.ID}
}

func runningServerAndBooking(c *cloud) ids {
	all := aBooking(c)
	maps.Copy(all, runningServer(c))
	return all
}

func serverWithNIC(c *cloud) ids {
	all := aBooking(c)
	s := c.newServer("s")
	card := must(c.nic.CreatePrivateNetworkInterface(&instance2.CreatePrivateNetworkInterfaceRequest{
		PrivateNetworkID: all["private_network_id"], ServerID: &s.ID, IPIDs: []string{all["ips"]},
	}))(c.tb)
	c.start(s)
	all["servers"], all["resource_id"], all["private-network-interfaces"] = s.ID, card.ID, card.ID
	return all
}

// freeNIC is a NIC without a server: the recording is from July 2026, when the API also
// deleted NICs of servers.
func freeNIC(c *cloud) ids {
	s := c.newServer("s")
	card := must(c.nic.CreatePrivateNetworkInterface(&instance2.CreatePrivateNetworkInterfaceRequest{
		PrivateNetworkID: c.newNetwork().ID, ServerID: &s.ID,
	}))(c.tb)
	noError(c.tb, c.detach(card))
	return ids{"private-network-interfaces": card.ID}
}

func volumeInUse(c *cloud) ids {
	s := c.newServer("s")
	return ids{"servers": s.ID, "volumes": s.Volumes["0"].ID}
}

func volumeLeftBehind(c *cloud) ids {
	s := c.newServer("s")
	c.start(s)
	c.act(s, instance.ServerActionTerminate)
	for {
		if _, err := c.instance.GetServer(&instance.GetServerRequest{ServerID: s.ID}); err != nil {
			return ids{"volumes": s.Volumes["0"].ID}
		}
	}
}

func anImage(c *cloud) ids {
	i := must(marketplace.NewAPI(c.client).GetLocalImageByLabel(&marketplace.GetLocalImageByLabelRequest{
		ImageLabel: "ubuntu_focal", Zone: zone, CommercialType: "DEV1-S", Type: marketplace.LocalImageTypeInstanceSbs,
	}))(c.tb)
	return ids{"image": i.ID}
}

func aGroup(c *cloud) ids {
	g := must(c.instance.CreateSecurityGroup(&instance.CreateSecurityGroupRequest{Name: "sg", Stateful: true}))(c.tb)
	return ids{"security_groups": g.SecurityGroup.ID}
}

func groupInUse(c *cloud) ids {
	all := aGroup(c)
	s := c.newServer("s")
	must(c.instance.UpdateServer(&instance.UpdateServerRequest{
		ServerID: s.ID, Zone: zone, SecurityGroup: &instance.SecurityGroupTemplate{ID: all["security_groups"]},
	}))(c.tb)
	return all
}

func aGateway(c *cloud) ids {
	g := c.newGateway()
	return ids{"gateways": g.ID, "gateway_id": g.ID}
}

func gatewayAndNetwork(c *cloud) ids {
	all := aGateway(c)
	all["private_network_id"] = c.newNetwork().ID
	return all
}

func gatewayBeingAttached(c *cloud) ids {
	all := gatewayAndNetwork(c)
	must(c.gateway.CreateGatewayNetwork(&vpcgw.CreateGatewayNetworkRequest{
		GatewayID: all["gateway_id"], PrivateNetworkID: all["private_network_id"],
	}))(c.tb)
	return all
}

func attachedGateway(c *cloud) ids {
	g, n := c.newGateway(), c.newNetwork()
	attached := c.attach(g, n)
	ip := must(c.ipam.BookIP(&ipam.BookIPRequest{Source: &ipam.Source{PrivateNetworkID: &n.ID}}))(c.tb)
	return ids{"gateway-networks": attached.ID, "private_network_id": n.ID, "resource_id": attached.ID, "ipam_ip_id": ip.ID}
}

func aCluster(c *cloud) ids { return ids{"clusters": c.newCluster(c.newNetwork()).ID} }

func newPool(c *cloud) ids {
	cluster := c.newCluster(c.newNetwork())
	p := c.newPool(cluster)
	return ids{"clusters": cluster.ID, "pools": p.ID, "pool_id": p.ID}
}

func readyPool(c *cloud) ids {
	all := newPool(c)
	must(c.k8s.WaitForPool(&k8s.WaitForPoolRequest{PoolID: all["pools"], Region: region, RetryInterval: interval()}))(c.tb)
	return all
}

func nodeServer(c *cloud) ids {
	readyPool(c)
	servers := must(c.instance.ListServers(&instance.ListServersRequest{Tags: []string{"managed=true"}}))(c.tb)
	return ids{"servers": servers.Servers[0].ID}
}

func richPool(c *cloud) ids {
	cluster := c.newCluster(c.newNetwork())
	p := must(c.k8s.CreatePool(&k8s.CreatePoolRequest{
		ClusterID: cluster.ID, Name: "pool", NodeType: "pro2_xxs", Size: 1, Zone: scw.ZoneFrPar1, Tags: []string{"t"},
		Labels: map[string]string{"a": "b", "c": "d"}, Taints: []*k8s.CoreV1Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}},
		StartupTaints: []*k8s.CoreV1Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}},
	}))(c.tb)
	return ids{"pools": p.ID}
}
