package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// forge sends one UDP packet whose source is not an address of this machine. It
// needs CAP_NET_RAW, which container runtimes give to root by default.
func forge(source, destination string) error {
	from, err := netip.ParseAddrPort(source)
	if err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(destination)
	if err != nil {
		return err
	}
	if !from.Addr().Is4() || !to.Addr().Is4() {
		return fmt.Errorf("%s, %s: want two IPv4 addresses", source, destination)
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("opening a raw socket: %w", err)
	}
	defer unix.Close(socket)
	if err := unix.Sendto(socket, datagram(from, to), 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}); err != nil {
		return fmt.Errorf("sending from %s to %s: %w", source, destination, err)
	}
	return nil
}

// datagram is a UDP packet without content. The kernel computes the checksum of
// the IPv4 header. That of UDP is optional with IPv4.
func datagram(from, to netip.AddrPort) []byte {
	const ipHeader, udpHeader = 20, 8
	packet := make([]byte, ipHeader+udpHeader)
	packet[0] = 4<<4 | ipHeader/4 // version, length of the header in words
	binary.BigEndian.PutUint16(packet[2:], ipHeader+udpHeader)
	packet[8] = 64 // time to live
	packet[9] = unix.IPPROTO_UDP
	copy(packet[12:], from.Addr().AsSlice())
	copy(packet[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(packet[ipHeader:], from.Port())
	binary.BigEndian.PutUint16(packet[ipHeader+2:], to.Port())
	binary.BigEndian.PutUint16(packet[ipHeader+4:], udpHeader)
	return packet
}
