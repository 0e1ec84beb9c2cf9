// A program that jails its child's network, as Go programs do it: the child is born into a user and a network namespace
// of its own (os/exec with Cloneflags, so clone(2)), and tells what it finds there. As `go-jail browser` it makes the calls of a
// browser's sandbox: a pid namespace too, and within it a process that leaves its user namespace by unshare(2).
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	role := append(os.Args[1:], "jailer")[0]
	switch role {
	case "inside":
		tell(os.Args[2])
	case "renderer":
		run(exec.Command("/proc/self/exe", "inside", os.Args[2]), &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWUSER})
	default:
		outside, err := os.Readlink("/proc/self/ns/net")
		check(err)
		jail := syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		child := "inside"
		if role == "browser" {
			child = "renderer"
			jail.Cloneflags |= syscall.CLONE_NEWPID
		}
		run(exec.Command("/proc/self/exe", child, outside), &jail)
	}
}

func run(child *exec.Cmd, jail *syscall.SysProcAttr) {
	child.Stdout, child.Stderr, child.SysProcAttr = os.Stdout, os.Stderr, jail
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
