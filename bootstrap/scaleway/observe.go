package scaleway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/scaleway/scaleway-sdk-go/api/block/v1"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"golang.org/x/sync/errgroup"

	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
)

// Observe implements stack.Cloud. It makes some 17 requests, in parallel. What
// is wrong in one place does not hide what is wrong in another.
func (c *Cloud) Observe(ctx context.Context, spec stack.Spec) (*stack.Observed, error) {
	o := &observation{cloud: c, spec: spec}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	looks := []struct {
		at   stack.Kind
		read func(context.Context) error
	}{
		{stack.KindVPC, o.vpcs},
		{stack.KindPrivateNetwork, o.networks},
		{stack.KindGateway, o.gateways},
		{stack.KindSecurityGroup, o.securityGroups},
		{stack.KindServer, o.proxy},
		{stack.KindCluster, o.clusters},
		{stack.KindRegistry, o.registries},
	}
	errs := make([]error, len(looks))
	var group sync.WaitGroup
	for i, look := range looks {
		group.Go(func() {
			if err := look.read(ctx); err != nil {
				errs[i] = fmt.Errorf("looking for what exists (%s): %w", look.at, explain(err, look.at))
			}
			if isDenied(errs[i]) {
				stop() // all others would hear the same
			}
		})
	}
	group.Wait()
	if i := slices.IndexFunc(errs, isDenied); i >= 0 {
		return nil, errs[i]
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &stack.Observed{Resources: o.resources, Missing: o.missing}, nil
}

// observation collects what is found.
type observation struct {
	cloud *Cloud
	spec  stack.Spec

	mutex     sync.Mutex
	resources []stack.Resource
	missing   []error
}

func (o *observation) miss(err error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.missing = append(o.missing, err)
}

func (o *observation) add(resources ...stack.Resource) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.resources = append(o.resources, resources...)
}

// addAll adds a list of resources of one type.
func addAll[R stack.Resource](o *observation, resources []R) {
	for _, r := range resources {
		o.add(r)
	}
}

// complete reads what a list does not tell of each resource in it. Those that
// have gone since they were listed are left out: a deletion that an earlier run
// asked for may still be under way.
func complete[R stack.Resource](listed []R, read func(R) error) ([]R, error) {
	var there []R
	for _, r := range listed {
		switch err := read(r); {
		case isNotFound(err):
		case err != nil:
			return nil, err
		default:
			there = append(there, r)
		}
	}
	return there, nil
}

func (o *observation) vpcs(ctx context.Context) error {
	found, err := o.cloud.findVPCs(ctx)
	addAll(o, found)
	return err
}

// networks finds the Private Networks, and the addresses that are booked in
// them.
func (o *observation) networks(ctx context.Context) error {
	networks, err := o.cloud.findPrivateNetworks(ctx)
	if err != nil {
		return err
	}
	if o.spec.NetworkID != "" {
		given, err := o.cloud.givenPrivateNetwork(ctx, o.spec.NetworkID)
		switch {
		case err != nil:
			return err
		case given == nil:
			o.miss(o.cloud.whereIsNetwork(ctx, o.spec.NetworkID))
		default:
			networks = append(slices.DeleteFunc(networks, func(n *stack.PrivateNetwork) bool { return n.ID == given.ID }), given)
		}
	}
	networks, err = complete(networks, func(network *stack.PrivateNetwork) error {
		addresses, err := o.cloud.findPrivateIPs(ctx, network.ID)
		addAll(o, addresses)
		return explain(err, stack.KindPrivateIP)
	})
	addAll(o, networks)
	return err
}

// gateways finds the gateways with their networks, which the API lists with
// them.
func (o *observation) gateways(ctx context.Context) error {
	gateways, err := o.cloud.listGateways(ctx)
	if err != nil {
		return err
	}
	for _, g := range gateways {
		o.add(newGateway(g))
		for _, n := range g.GatewayNetworks {
			network := newGatewayNetwork(n)
			network.Name = g.Name
			o.add(network)
		}
	}
	return nil
}

func (o *observation) securityGroups(ctx context.Context) error {
	groups, err := o.cloud.findSecurityGroups(ctx)
	if err != nil {
		return err
	}
	groups, err = complete(groups, func(group *stack.SecurityGroup) error { return o.cloud.readRules(ctx, group) })
	addAll(o, groups)
	return err
}

func (o *observation) clusters(ctx context.Context) error {
	clusters, err := o.cloud.findClusters(ctx)
	if err != nil {
		return err
	}
	clusters, err = complete(clusters, func(cluster *stack.Cluster) error {
		if cluster.Deleting {
			return nil
		}
		return o.cloud.readACL(ctx, cluster)
	})
	if err != nil {
		return err
	}
	if o.spec.Cluster != nil && o.spec.Cluster.ID != "" {
		given, err := o.cloud.getCluster(ctx, o.spec.Cluster.ID)
		switch {
		case isNotFound(err):
			o.miss(fmt.Errorf("cluster.id: there is no cluster %s in %s, or the API key may not see it", o.spec.Cluster.ID, o.cloud.region))
		case err != nil:
			return err
		default:
			cluster := newCluster(given)
			cluster.Existing = true
			clusters = append(slices.DeleteFunc(clusters, func(c *stack.Cluster) bool { return c.ID == cluster.ID }), cluster)
		}
	}
	clusters, err = complete(clusters, func(cluster *stack.Cluster) error {
		pools, err := o.cloud.findPools(ctx, cluster.ID)
		addAll(o, pools)
		return err
	})
	addAll(o, clusters)
	return err
}

func (o *observation) registries(ctx context.Context) error {
	found, err := o.cloud.findRegistries(ctx)
	addAll(o, found)
	return err
}

// proxy finds the servers with their parts, the flexible addresses, and volumes
// that have lost their server.
func (o *observation) proxy(ctx context.Context) error {
	var servers []*instance.Server
	var volumes []*block.Volume
	var addresses []*stack.FlexibleIP
	var group sync.WaitGroup
	var serversErr, volumesErr, addressesErr error
	group.Go(func() { servers, serversErr = o.cloud.listServers(ctx) })
	group.Go(func() { volumes, volumesErr = o.cloud.findVolumes(ctx) })
	group.Go(func() { addresses, addressesErr = o.cloud.findFlexibleIPs(ctx) })
	group.Wait()
	// Once one is denied, the others are stopped: they have nothing to add.
	all := []error{serversErr, addressesErr, volumesErr}
	if i := slices.IndexFunc(all, isDenied); i >= 0 {
		return all[i]
	}
	// Servers and addresses are of one product, and fail alike.
	if err := errors.Join(explain(cmp.Or(serversErr, addressesErr), stack.KindServer), explain(volumesErr, stack.KindVolume)); err != nil {
		return err
	}
	addAll(o, addresses)

	found := make([]*stack.Server, 0, len(servers))
	byID := map[string]*instance.Server{}
	for _, s := range servers {
		found = append(found, newServer(s))
		byID[s.ID] = s
	}
	staying := slices.DeleteFunc(slices.Clone(found), func(s *stack.Server) bool { return s.Deleting })
	stack.SortByAge(staying)
	for _, s := range found {
		s.VolumeGB = o.spec.Proxy.VolumeGB // unless its volume says otherwise
		volumes = o.claimVolumes(s, volumes, len(staying) > 0 && s == staying[0])
	}
	for _, v := range volumes {
		o.add(&stack.Volume{ResourceMeta: stack.ResourceMeta{ID: v.ID, Name: v.Name, CreatedAt: when(v.CreatedAt)}, Role: v.ID, Server: &stack.Server{}})
	}
	addAll(o, found)
	if len(staying) == 0 {
		return nil
	}
	return o.parts(ctx, staying[0], byID[staying[0].ID], addresses)
}

// claimVolumes takes a server's boot volume out of the list. Only the server
// that stays has it as a part; it goes with the others.
func (o *observation) claimVolumes(s *stack.Server, volumes []*block.Volume, stays bool) []*block.Volume {
	var others []*block.Volume
	for _, v := range volumes {
		if v.ID != s.VolumeID {
			others = append(others, v)
			continue
		}
		s.VolumeGB = int32(v.Size / 1_000_000_000) //nolint:gosec // at most some thousand GB
		if stays {
			o.add(&stack.Volume{ResourceMeta: stack.ResourceMeta{ID: v.ID, Name: v.Name, CreatedAt: when(v.CreatedAt)}, Server: s})
		}
	}
	return others
}

// parts finds what belongs to the server that stays.
func (o *observation) parts(ctx context.Context, server *stack.Server, s *instance.Server, addresses []*stack.FlexibleIP) error {
	if s.State == instance.ServerStateRunning {
		o.add(&stack.Power{ResourceMeta: stack.ResourceMeta{ID: s.ID, Name: s.Name}, Server: server})
	}
	for _, address := range addresses {
		if address.ServerID != "" {
			o.add(&stack.Attachment{
				ResourceMeta: stack.ResourceMeta{ID: address.ID, Name: address.Name}, IP: address, Server: &stack.Server{ResourceMeta: stack.ResourceMeta{ID: address.ServerID}},
			})
		}
	}
	for _, n := range s.PrivateNics {
		addAll(o, newPrivateNICs(s, n.PrivateNetworkID))
	}
	var cloudInit, squidConf []byte
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		cloudInit, err = o.cloud.userData(ctx, s.ID, cloudinit.UserDataCloudInit)
		return err
	})
	group.Go(func() (err error) {
		squidConf, err = o.cloud.userData(ctx, s.ID, cloudinit.UserDataSquidConf)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	server.CloudInit = cloudInit
	for key, value := range map[string][]byte{cloudinit.UserDataCloudInit: cloudInit, cloudinit.UserDataSquidConf: squidConf} {
		if value != nil {
			o.add(&stack.UserData{
				ResourceMeta: stack.ResourceMeta{ID: s.ID, Name: s.Name}, Server: server, DataKey: key, Value: value,
				Revisions: stack.ObservedRevisions(value),
			})
		}
	}
	return nil
}
