package scwfake_test

import (
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/block/v1"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	instance2 "github.com/scaleway/scaleway-sdk-go/api/instance/v2alpha1"
	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/api/registry/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
)

// gone is the end of a sequence of states.
const gone = "404"

// states reads a resource until its state is final, and returns the states.
func states[T ~string](tb testing.TB, read func() (T, error)) []string {
	tb.Helper()
	var seen []string
	for {
		state, err := read()
		switch {
		case err != nil:
			if !isNotFound(err) {
				tb.Fatal(err)
			}
			return append(seen, gone)
		case len(seen) > 2 && seen[len(seen)-1] == string(state) && seen[len(seen)-2] == string(state):
			return slices.Compact(seen)
		}
		seen = append(seen, string(state))
	}
}

func isNotFound(err error) bool {
	var typed *scw.ResourceNotFoundError
	var untyped *scw.ResponseError
	return errors.As(err, &typed) || (errors.As(err, &untyped) && untyped.StatusCode == 404)
}

// TestStates performs the transitions of each kind of resource. Every transient state
// is visible in at least one read.
func TestStates(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		run  func(c *cloud) (first string, rest []string)
		want []string
	}{
		"gateway": {want: []string{"allocating", "allocating", "running"}, run: func(c *cloud) (string, []string) {
			g := must(c.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{Name: "gw", Type: "VPC-GW-S"}))(c.tb)
			return string(g.Status), states(c.tb, c.gatewayState(g.ID))
		}},
		"gateway deletion": {want: []string{"deleting", gone}, run: func(c *cloud) (string, []string) {
			g := c.newGateway()
			g = must(c.gateway.DeleteGateway(&vpcgw.DeleteGatewayRequest{GatewayID: g.ID}))(c.tb)
			return string(g.Status), states(c.tb, c.gatewayState(g.ID))
		}},
		"gateway upgrade": {want: []string{"running", "failed", "configuring", "running"}, run: func(c *cloud) (string, []string) {
			g := c.newGateway()
			g = must(c.gateway.UpgradeGateway(&vpcgw.UpgradeGatewayRequest{GatewayID: g.ID, Type: new("VPC-GW-M")}))(c.tb)
			return string(g.Status), states(c.tb, c.gatewayState(g.ID))
		}},
		"gateway network": {want: []string{"created", "created", "configuring", "ready"}, run: func(c *cloud) (string, []string) {
			n := must(c.gateway.CreateGatewayNetwork(&vpcgw.CreateGatewayNetworkRequest{
				GatewayID: c.newGateway().ID, PrivateNetworkID: c.newNetwork().ID,
			}))(c.tb)
			return string(n.Status), states(c.tb, c.attachmentState(n.ID))
		}},
		"gateway while it is attached": {want: []string{"running", "configuring", "running"}, run: func(c *cloud) (string, []string) {
			g := c.newGateway()
			must(c.gateway.CreateGatewayNetwork(&vpcgw.CreateGatewayNetworkRequest{
				GatewayID: g.ID, PrivateNetworkID: c.newNetwork().ID,
			}))(c.tb)
			return string(g.Status), states(c.tb, c.gatewayState(g.ID))
		}},
		"gateway network deletion": {want: []string{"detaching", "detaching", gone}, run: func(c *cloud) (string, []string) {
			n := c.attach(c.newGateway(), c.newNetwork())
			n = must(c.gateway.DeleteGatewayNetwork(&vpcgw.DeleteGatewayNetworkRequest{GatewayNetworkID: n.ID}))(c.tb)
			return string(n.Status), states(c.tb, c.attachmentState(n.ID))
		}},
		"server": {want: []string{"stopped", "starting", "running"}, run: func(c *cloud) (string, []string) {
			s := c.newServer("s")
			c.act(s, instance.ServerActionPoweron)
			return string(s.State), states(c.tb, c.serverState(s.ID))
		}},
		"server reboot": {want: []string{"stopped", "starting", "running"}, run: func(c *cloud) (string, []string) {
			s := c.newServer("s")
			c.start(s)
			c.act(s, instance.ServerActionReboot)
			return string(s.State), states(c.tb, c.serverState(s.ID))
		}},
		"server poweroff": {want: []string{"stopped", "stopping", "stopped"}, run: func(c *cloud) (string, []string) {
			s := c.newServer("s")
			c.start(s)
			c.act(s, instance.ServerActionPoweroff)
			return string(s.State), states(c.tb, c.serverState(s.ID))
		}},
		"server termination": {want: []string{"stopped", "stopping", gone}, run: func(c *cloud) (string, []string) {
			s := c.newServer("s")
			c.start(s)
			c.act(s, instance.ServerActionTerminate)
			return string(s.State), states(c.tb, c.serverState(s.ID))
		}},
		"volume reference": {want: []string{"available", "attaching", "attached"}, run: func(c *cloud) (string, []string) {
			s := c.newServer("s")
			return string(*s.Volumes["0"].State), states(c.tb, func() (block.ReferenceStatus, error) {
				v, err := c.block.GetVolume(&block.GetVolumeRequest{VolumeID: s.Volumes["0"].ID})
				if err != nil {
					return "", err
				}
				return v.References[0].Status, nil
			})
		}},
		"nic on a running server": {want: []string{"attaching", "attaching", "available"}, run: func(c *cloud) (string, []string) {
			s := c.newServer("s")
			c.start(s)
			return c.newNIC(s)
		}},
		"nic on a stopped server": {want: []string{"available", "available"}, run: func(c *cloud) (string, []string) {
			return c.newNIC(c.newServer("s"))
		}},
		"cluster": {want: []string{"creating", "creating", "pool_required"}, run: func(c *cloud) (string, []string) {
			k := must(c.k8s.CreateCluster(&k8s.CreateClusterRequest{
				Name: "k", Version: offeredVersion, Cni: k8s.CNICilium, PrivateNetworkID: &c.newNetwork().ID,
			}))(c.tb)
			return string(k.Status), states(c.tb, c.clusterState(k.ID))
		}},
		"cluster that gets a pool": {want: []string{"pool_required", "pool_required", "ready"}, run: func(c *cloud) (string, []string) {
			k := c.newCluster(c.newNetwork())
			c.newPool(k)
			return string(k.Status), states(c.tb, c.clusterState(k.ID))
		}},
		"cluster deletion": {want: []string{"deleting", "deleting", gone}, run: func(c *cloud) (string, []string) {
			k := c.newCluster(c.newNetwork())
			c.newPool(k)
			k = must(c.k8s.DeleteCluster(&k8s.DeleteClusterRequest{ClusterID: k.ID}))(c.tb)
			return string(k.Status), states(c.tb, c.clusterState(k.ID))
		}},
		"pool": {want: []string{"scaling", "scaling", "ready"}, run: func(c *cloud) (string, []string) {
			p := c.newPool(c.newCluster(c.newNetwork()))
			return string(p.Status), states(c.tb, c.poolState(p.ID))
		}},
		"pool that grows": {want: []string{"scaling", "scaling", "ready"}, run: func(c *cloud) (string, []string) {
			p := c.newPool(c.newCluster(c.newNetwork()))
			states(c.tb, c.poolState(p.ID))
			p = must(c.k8s.UpdatePool(&k8s.UpdatePoolRequest{PoolID: p.ID, Size: new(uint32(3)), MaxSize: new(uint32(3))}))(c.tb)
			return string(p.Status), states(c.tb, c.poolState(p.ID))
		}},
		"pool that gets labels": {want: []string{"scaling", "scaling", "ready"}, run: func(c *cloud) (string, []string) {
			p := c.newPool(c.newCluster(c.newNetwork()))
			states(c.tb, c.poolState(p.ID))
			p = must(c.k8s.SetPoolLabels(&k8s.SetPoolLabelsRequest{PoolID: p.ID, Labels: map[string]string{"a": "b"}}))(c.tb)
			return string(p.Status), states(c.tb, c.poolState(p.ID))
		}},
		"pool of a type that is sold out": {want: []string{"scaling", "scaling", "warning"}, run: func(c *cloud) (string, []string) {
			c.fake.SetShortage("PRO2-XXS")
			p := c.newPool(c.newCluster(c.newNetwork()))
			return string(p.Status), states(c.tb, c.poolState(p.ID))
		}},
		"cluster that gets an access list": {want: []string{"pool_required", "updating", "ready"}, run: func(c *cloud) (string, []string) {
			k := c.newCluster(c.newNetwork())
			must(c.k8s.SetClusterACLRules(&k8s.SetClusterACLRulesRequest{ClusterID: k.ID, ACLs: []*k8s.ACLRuleRequest{{ScalewayRanges: new(true)}}}))(c.tb)
			return string(k.Status), states(c.tb, c.clusterState(k.ID))
		}},
		"cluster that is changed": {want: []string{"updating", "updating", "ready"}, run: func(c *cloud) (string, []string) {
			k := must(c.k8s.UpdateCluster(&k8s.UpdateClusterRequest{ClusterID: c.newCluster(c.newNetwork()).ID, Name: new("other")}))(c.tb)
			return string(k.Status), states(c.tb, c.clusterState(k.ID))
		}},
		"server of a type that is sold out": {want: []string{"stopped", "starting", "stopped"}, run: func(c *cloud) (string, []string) {
			c.fake.SetShortage("PLAY2-PICO")
			s := c.newServer("s")
			c.act(s, instance.ServerActionPoweron)
			return string(s.State), states(c.tb, c.serverState(s.ID))
		}},
		"flexible address of a running server": {want: []string{"detached", "pending", "attached"}, run: func(c *cloud) (string, []string) {
			s, ip := c.newServer("s"), c.flexibleIP()
			c.start(s)
			noError(c.tb, c.assign(ip, s))
			return "detached", states(c.tb, c.addressState(ip))
		}},
		"flexible address of a stopped server": {want: []string{"detached", "attached"}, run: func(c *cloud) (string, []string) {
			s, ip := c.newServer("s"), c.flexibleIP()
			noError(c.tb, c.assign(ip, s))
			return "detached", states(c.tb, c.addressState(ip))
		}},
		"security group that is changed": {want: []string{"syncing", "syncing", "available"}, run: func(c *cloud) (string, []string) {
			g := must(c.instance.CreateSecurityGroup(&instance.CreateSecurityGroupRequest{Name: "sg"}))(c.tb).SecurityGroup
			g = must(c.instance.UpdateSecurityGroup(&instance.UpdateSecurityGroupRequest{SecurityGroupID: g.ID, Name: new("other")}))(c.tb).SecurityGroup
			must(c.instance.SetSecurityGroupRules(&instance.SetSecurityGroupRulesRequest{SecurityGroupID: g.ID}))(c.tb)
			return string(g.State), states(c.tb, func() (instance.SecurityGroupState, error) {
				r, err := c.instance.GetSecurityGroup(&instance.GetSecurityGroupRequest{SecurityGroupID: g.ID})
				if err != nil {
					return "", err
				}
				return r.SecurityGroup.State, nil
			})
		}},
		"nic that is detached from a running server": {want: []string{"available", "detaching", "available"}, run: func(c *cloud) (string, []string) {
			s := c.newServer("s")
			card := must(c.nic.CreatePrivateNetworkInterface(&instance2.CreatePrivateNetworkInterfaceRequest{
				PrivateNetworkID: c.newNetwork().ID, ServerID: &s.ID,
			}))(c.tb)
			c.start(s)
			noError(c.tb, c.detach(card))
			return string(card.Status), states(c.tb, c.nicState(card.ID))
		}},
		"pool deletion": {want: []string{"deleting", "deleting", gone}, run: func(c *cloud) (string, []string) {
			p := c.newPool(c.newCluster(c.newNetwork()))
			p = must(c.k8s.DeletePool(&k8s.DeletePoolRequest{PoolID: p.ID}))(c.tb)
			return string(p.Status), states(c.tb, c.poolState(p.ID))
		}},
		"namespace deletion": {want: []string{"deleting", "deleting", gone}, run: func(c *cloud) (string, []string) {
			n := must(c.registry.CreateNamespace(&registry.CreateNamespaceRequest{Name: "n"}))(c.tb)
			n = must(c.registry.DeleteNamespace(&registry.DeleteNamespaceRequest{NamespaceID: n.ID}))(c.tb)
			return string(n.Status), states(c.tb, func() (registry.NamespaceStatus, error) {
				n, err := c.registry.GetNamespace(&registry.GetNamespaceRequest{NamespaceID: n.ID})
				if err != nil {
					return "", err
				}
				return n.Status, nil
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, rest := test.run(newCloud(t, scwfake.Options{}))
			if diff := cmp.Diff(test.want, append([]string{first}, rest...)); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}
		})
	}
}

func (c *cloud) gatewayState(id string) func() (vpcgw.GatewayStatus, error) {
	return func() (vpcgw.GatewayStatus, error) {
		g, err := c.gateway.GetGateway(&vpcgw.GetGatewayRequest{GatewayID: id})
		if err != nil {
			return "", err
		}
		return g.Status, nil
	}
}

func (c *cloud) attachmentState(id string) func() (vpcgw.GatewayNetworkStatus, error) {
	return func() (vpcgw.GatewayNetworkStatus, error) {
		n, err := c.gateway.GetGatewayNetwork(&vpcgw.GetGatewayNetworkRequest{GatewayNetworkID: id})
		if err != nil {
			return "", err
		}
		return n.Status, nil
	}
}

func (c *cloud) serverState(id string) func() (instance.ServerState, error) {
	return func() (instance.ServerState, error) {
		r, err := c.instance.GetServer(&instance.GetServerRequest{ServerID: id})
		if err != nil {
			return "", err
		}
		return r.Server.State, nil
	}
}

func (c *cloud) clusterState(id string) func() (k8s.ClusterStatus, error) {
	return func() (k8s.ClusterStatus, error) {
		k, err := c.k8s.GetCluster(&k8s.GetClusterRequest{ClusterID: id})
		if err != nil {
			return "", err
		}
		return k.Status, nil
	}
}

func (c *cloud) poolState(id string) func() (k8s.PoolStatus, error) {
	return func() (k8s.PoolStatus, error) {
		p, err := c.k8s.GetPool(&k8s.GetPoolRequest{PoolID: id})
		if err != nil {
			return "", err
		}
		return p.Status, nil
	}
}

func (c *cloud) addressState(id string) func() (instance.IPState, error) {
	return func() (instance.IPState, error) {
		r, err := c.instance.GetIP(&instance.GetIPRequest{IP: id})
		if err != nil {
			return "", err
		}
		return r.IP.State, nil
	}
}

func (c *cloud) nicState(id string) func() (instance2.PrivateNetworkInterfaceStatus, error) {
	return func() (instance2.PrivateNetworkInterfaceStatus, error) {
		card, err := c.nic.GetPrivateNetworkInterface(&instance2.GetPrivateNetworkInterfaceRequest{PrivateNetworkInterfaceID: id})
		if err != nil {
			return "", err
		}
		return card.Status, nil
	}
}

// detach detaches a NIC from its server, which a NIC needs before it can be deleted.
func (c *cloud) detach(card *instance2.PrivateNetworkInterface) error {
	_, err := c.nic.DetachServerPrivateNetworkInterface(&instance2.DetachServerPrivateNetworkInterfaceRequest{
		ServerID: card.ServerID, PrivateNetworkInterfaceID: card.ID,
	})
	return err
}

func (c *cloud) newNIC(s *instance.Server) (first string, rest []string) {
	c.tb.Helper()
	card := must(c.nic.CreatePrivateNetworkInterface(&instance2.CreatePrivateNetworkInterfaceRequest{
		PrivateNetworkID: c.newNetwork().ID, ServerID: &s.ID,
	}))(c.tb)
	return string(card.Status), states(c.tb, c.nicState(card.ID))
}

// TestLife creates all resources that bootstrap creates, in its order, and deletes
// them. The project is empty afterwards.
func TestLife(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	network := c.newNetwork()
	gateway := c.newGateway()
	attached := c.attach(gateway, network)
	group := must(c.instance.CreateSecurityGroup(&instance.CreateSecurityGroupRequest{Name: "sg"}))(t).SecurityGroup
	flexible := must(c.instance.CreateIP(&instance.CreateIPRequest{Type: instance.IPTypeRoutedIPv4}))(t).IP
	address := net.ParseIP("172.16.64.7")
	booked := must(c.ipam.BookIP(&ipam.BookIPRequest{Source: &ipam.Source{PrivateNetworkID: &network.ID}, Address: &address}))(t)
	if got := booked.Address.String(); got != "172.16.64.7/22" {
		t.Errorf("booked %s", got)
	}
	server := must(c.instance.CreateServer(&instance.CreateServerRequest{
		Name: "proxy", CommercialType: "PLAY2-NANO", Image: new("debian_trixie"), SecurityGroup: &group.ID,
		PublicIPs: &[]string{flexible.ID},
		Volumes: map[string]*instance.VolumeServerTemplate{
			"0": {VolumeType: instance.VolumeVolumeTypeSbsVolume, Size: new(10 * scw.GB), Boot: new(true)},
		},
	}))(t).Server
	must(c.block.WaitForVolumeAndReferences(&block.WaitForVolumeAndReferencesRequest{
		VolumeID: server.Volumes["0"].ID, Zone: zone, RetryInterval: interval(),
	}))(t)
	must(c.nic.CreatePrivateNetworkInterface(&instance2.CreatePrivateNetworkInterfaceRequest{
		PrivateNetworkID: network.ID, ServerID: &server.ID, IPIDs: []string{booked.ID},
	}))(t)
	c.setUserData(server, "cloud-init", "#cloud-config\n")
	c.start(server)
	server = must(c.instance.GetServer(&instance.GetServerRequest{ServerID: server.ID}))(t).Server
	if len(server.PublicIPs) != 1 || server.PublicIPs[0].Address.String() != flexible.Address.String() || len(server.PrivateNics) != 1 {
		t.Errorf("the server has the addresses %v and the NICs %v", server.PublicIPs, server.PrivateNics)
	}
	cluster := c.newCluster(network)
	must(c.k8s.GetClusterKubeConfig(&k8s.GetClusterKubeConfigRequest{ClusterID: cluster.ID}))(t)
	pool := c.newPool(cluster)
	must(c.k8s.WaitForPool(&k8s.WaitForPoolRequest{PoolID: pool.ID, Region: region, RetryInterval: interval()}))(t)
	if got := must(c.clusterState(cluster.ID)())(t); got != k8s.ClusterStatusReady {
		t.Errorf("with a pool the cluster is %s", got)
	}

	must(c.k8s.DeletePool(&k8s.DeletePoolRequest{PoolID: pool.ID}))(t)
	states(t, c.poolState(pool.ID))
	must(c.k8s.DeleteCluster(&k8s.DeleteClusterRequest{ClusterID: cluster.ID}))(t)
	states(t, c.clusterState(cluster.ID))
	c.act(server, instance.ServerActionTerminate)
	states(t, c.serverState(server.ID))
	volume := must(c.block.GetVolume(&block.GetVolumeRequest{VolumeID: server.Volumes["0"].ID}))(t)
	if volume.Status != block.VolumeStatusAvailable {
		t.Errorf("the volume of a server that was terminated is %s", volume.Status)
	}
	noError(t, c.block.DeleteVolume(&block.DeleteVolumeRequest{VolumeID: volume.ID}))
	noError(t, c.instance.DeleteIP(&instance.DeleteIPRequest{IP: flexible.ID}))
	noError(t, c.instance.DeleteSecurityGroup(&instance.DeleteSecurityGroupRequest{SecurityGroupID: group.ID}))
	must(c.gateway.DeleteGatewayNetwork(&vpcgw.DeleteGatewayNetworkRequest{GatewayNetworkID: attached.ID}))(t)
	states(t, c.attachmentState(attached.ID))
	must(c.gateway.DeleteGateway(&vpcgw.DeleteGatewayRequest{GatewayID: gateway.ID, DeleteIP: true}))(t)
	states(t, c.gatewayState(gateway.ID))
	if free := must(c.ipam.GetIP(&ipam.GetIPRequest{IPID: booked.ID}))(t); free.Resource != nil {
		t.Errorf("the address is still held by %v", free.Resource)
	}
	noError(t, c.ipam.ReleaseIP(&ipam.ReleaseIPRequest{IPID: booked.ID}))
	noError(t, c.vpc.DeletePrivateNetwork(&vpc.DeletePrivateNetworkRequest{PrivateNetworkID: network.ID}))
	noError(t, c.vpc.DeleteVPC(&vpc.DeleteVPCRequest{VpcID: network.VpcID}))
	if left := c.fake.Inventory(); len(left) != 0 {
		t.Errorf("this is left: %v", left)
	}
}

// TestLeftovers shows the resources that a deletion keeps, unless the request demands
// their deletion.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		run  func(c *cloud)
		want []string
	}{
		"gateway": {want: []string{"gateway-ip"}, run: func(c *cloud) {
			g := c.newGateway()
			must(c.gateway.DeleteGateway(&vpcgw.DeleteGatewayRequest{GatewayID: g.ID}))(c.tb)
			states(c.tb, c.gatewayState(g.ID))
		}},
		"gateway with its address": {run: func(c *cloud) {
			g := c.newGateway()
			must(c.gateway.DeleteGateway(&vpcgw.DeleteGatewayRequest{GatewayID: g.ID, DeleteIP: true}))(c.tb)
			states(c.tb, c.gatewayState(g.ID))
		}},
		"server": {want: []string{"flexible-ip", "volume"}, run: func(c *cloud) {
			s := c.newServer("s")
			noError(c.tb, c.assign(c.flexibleIP(), s))
			noError(c.tb, c.instance.DeleteServer(&instance.DeleteServerRequest{ServerID: s.ID}))
		}},
		"cluster": {want: []string{"private-network", "vpc"}, run: func(c *cloud) {
			k := c.newCluster(c.newNetwork())
			c.newPool(k)
			must(c.k8s.DeleteCluster(&k8s.DeleteClusterRequest{ClusterID: k.ID}))(c.tb)
			states(c.tb, c.clusterState(k.ID))
		}},
		"cluster with its network": {want: []string{"vpc"}, run: func(c *cloud) {
			k := c.newCluster(c.newNetwork())
			c.newPool(k)
			must(c.k8s.DeleteCluster(&k8s.DeleteClusterRequest{ClusterID: k.ID, WithAdditionalResources: true}))(c.tb)
			states(c.tb, c.clusterState(k.ID))
		}},
		"NIC": {want: []string{"ipam-ip", "private-network", "server", "volume", "vpc"}, run: func(c *cloud) {
			n, s := c.newNetwork(), c.newServer("s")
			ip := must(c.book(n, ""))(c.tb)
			for _, ids := range [][]string{{ip.ID}, nil} {
				// The API accepts two NICs on one network.
				card := must(c.nic.CreatePrivateNetworkInterface(&instance2.CreatePrivateNetworkInterfaceRequest{
					PrivateNetworkID: n.ID, ServerID: &s.ID, IPIDs: ids,
				}))(c.tb)
				defer func() {
					noError(c.tb, c.detach(card))
					noError(c.tb, c.nic.DeletePrivateNetworkInterface(&instance2.DeletePrivateNetworkInterfaceRequest{
						PrivateNetworkInterfaceID: card.ID,
					}))
				}()
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, scwfake.Options{})
			test.run(c)
			got := names(c.fake.Inventory(), func(i scwfake.Item) string { return i.Kind })
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
