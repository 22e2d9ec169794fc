package machine

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"egress.scw/bootstrap/scwfake"
)

// Metadata is Scaleway's metadata service for one machine.
type Metadata struct {
	// Machine returns the machine's current state.
	Machine func() scwfake.Machine
	// Gateway is the router of its flexible addresses.
	Gateway netip.Addr
	// SSHKeys are the project's SSH keys.
	SSHKeys []string
	// SetUserData sets a value of the machine's user data.
	SetUserData func(key string, value []byte) error
}

// maxUserData bounds a value that the machine writes, in bytes. Scaleway's bound is not
// documented.
const maxUserData = 128 << 10

// Handler serves the requests to 169.254.42.42.
func (m Metadata) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "conf\nuser_data\n") // the client has disconnected: an error cannot be reported to it
	})
	mux.HandleFunc("GET /conf", m.conf)
	mux.HandleFunc("GET /user_data", privileged(m.userDataKeys))
	mux.HandleFunc("GET /user_data/{key}", privileged(func(w http.ResponseWriter, r *http.Request) {
		value, ok := m.Machine().UserData[r.PathValue("key")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(value) // the client has disconnected: an error cannot be reported to it
	}))
	mux.HandleFunc("PATCH /user_data/{key}", privileged(m.writeUserData))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The side that closes first remembers the connection for a
		// while. It must be this side: clients have only 1,023 ports.
		w.Header().Set("Connection", "close")
		mux.ServeHTTP(w, r)
	})
}

// writeUserData sets a value. Scaleway's images publish their SSH host keys that way.
func (m Metadata) writeUserData(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxUserData))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := m.SetUserData(r.PathValue("key"), value); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// privileged refuses requests from ports that every user of the machine could
// use.
func privileged(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if from, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || from.Port() >= 1024 {
			http.Error(w, "the source port must be below 1024", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

func (m Metadata) userDataKeys(w http.ResponseWriter, r *http.Request) {
	keys := slices.Sorted(maps.Keys(m.Machine().UserData))
	if r.URL.Query().Get("format") == "json" {
		writeJSON(w, map[string][]string{"user_data": keys})
		return
	}
	fmt.Fprintf(w, "USER_DATA=%d\n", len(keys))
	for i, key := range keys {
		fmt.Fprintf(w, "USER_DATA_%d=%s\n", i, key)
	}
}

// publicIP is a flexible address in /conf. DHCP assigns the first one. The
// machine adds the others.
type publicIP struct {
	ID               string `json:"id"`
	Address          string `json:"address"`
	Netmask          string `json:"netmask"`
	Gateway          string `json:"gateway"`
	Family           string `json:"family"`
	Dynamic          bool   `json:"dynamic"`
	ProvisioningMode string `json:"provisioning_mode"`
}

func (m Metadata) publicIPs(machine scwfake.Machine) []publicIP {
	ips := []publicIP{}
	for i, address := range machine.PublicIPs {
		mode := "manual"
		if i == 0 {
			mode = "dhcp"
		}
		ips = append(ips, publicIP{
			ID: fmt.Sprintf("%s-ip-%d", machine.ID, i), Address: address.String(), Netmask: "32", Gateway: m.Gateway.String(),
			Family: "inet", ProvisioningMode: mode,
		})
	}
	return ips
}

func (m Metadata) conf(w http.ResponseWriter, r *http.Request) {
	machine := m.Machine()
	ips := m.publicIPs(machine)
	if r.URL.Query().Get("format") != "json" {
		fmt.Fprintf(w, "ID=%s\nNAME=%s\nHOSTNAME=%s\nPUBLIC_IPS_V4=%d\n", machine.ID, machine.Name, machine.Name, len(ips))
		for i, ip := range ips {
			fmt.Fprintf(w, "PUBLIC_IPS_V4_%d='ADDRESS NETMASK GATEWAY'\nPUBLIC_IPS_V4_%d_ADDRESS=%s\nPUBLIC_IPS_V4_%d_NETMASK=%s\nPUBLIC_IPS_V4_%d_GATEWAY=%s\n",
				i, i, ip.Address, i, ip.Netmask, i, ip.Gateway)
		}
		return
	}
	keys := []map[string]string{}
	for _, key := range m.SSHKeys {
		keys = append(keys, map[string]string{"key": strings.TrimSpace(key)})
	}
	nics := []map[string]any{}
	for _, nic := range machine.NICs {
		nics = append(nics, map[string]any{
			"id": nic.ID, "private_network_id": nic.PrivateNetworkID, "server_id": machine.ID, "mac_address": nic.MAC, "state": "available", "zone": machine.Zone,
		})
	}
	conf := map[string]any{
		"id": machine.ID, "name": machine.Name, "hostname": machine.Name, "tags": append([]string{}, machine.Tags...), // cloud-init fails on null
		"organization": machine.ID, "project": machine.ID, "commercial_type": "PLAY2-NANO", "state_detail": "booting",
		"public_ip": nil, "public_ips": ips, "public_ips_v4": ips, "public_ips_v6": []publicIP{}, "private_ip": nil, "ipv6": nil,
		"private_nics": nics, "ssh_public_keys": keys, "location": map[string]string{"zone_id": machine.Zone},
		"volumes": map[string]any{"0": map[string]string{"id": machine.ID, "volume_type": "sbs_volume"}}, "bootscript": nil,
	}
	if len(ips) > 0 {
		conf["public_ip"] = ips[0]
	}
	writeJSON(w, conf)
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client has disconnected: an error cannot be reported to it
}
