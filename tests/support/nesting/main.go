// A program that jails its child's network, as Go programs do it: the child is born into a user and a network namespace
// of its own (os/exec with Cloneflags, so clone(2)), and tells what it finds there.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "inside" {
		tell(os.Args[2])
		return
	}
	outside, err := os.Readlink("/proc/self/ns/net")
	check(err)
	child := exec.Command("/proc/self/exe", "inside", outside)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	check(child.Run())
}

// Says who it is, whether its network is another than its parent's, and which interfaces that has.
func tell(outside string) {
	own, err := os.Readlink("/proc/self/ns/net")
	check(err)
	interfaces, err := net.Interfaces()
	check(err)
	fmt.Printf("uid %d, own network %t, interfaces", os.Getuid(), own != outside)
	for _, one := range interfaces {
		fmt.Printf(" %s", one.Name)
	}
	fmt.Println()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
