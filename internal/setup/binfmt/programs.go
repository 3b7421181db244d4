package binfmt

import (
	"debug/elf"
	"encoding/binary"
)

// program is the check for one architecture, in machine code. What it does is
// the same for all of them:
//
//	start:     four arguments, the program's name included?
//	           then the third must have a space as its second byte and end after
//	           three: fork
//	           the child replaces itself by argv[0] with the last two of the
//	           arguments, and exits with 22 where that fails
//	parent:    wait for the child, and exit as it did; with 23 where it was killed,
//	           or is not there
//	second:    two arguments? then the second must begin with d: handle signal 15,
//	           send it to this process
//	unhandled: exit with 24
//	handler:   is it signal 15? exit with 0
//	wrong:     exit with 21
//	action:    what rt_sigaction is given
//
// A registration whose flags do not suit its emulator shifts the arguments by
// one, and programs that look at none of them run all the same. That the check
// starts itself again, in a child, shows that an emulated process can start
// others, as every shell does.
type program struct {
	machine elf.Machine
	class   elf.Class
	order   binary.ByteOrder
	flags   uint32 // of the ELF header
	code    string // hexadecimal, an instruction a line
}

// programs are by the architecture's name in a platform.
var programs = map[string]program{
	"amd64": {
		machine: elf.EM_X86_64, class: elf.ELFCLASS64, order: binary.LittleEndian,
		code: "488b0424" + // start: movq (%rsp), %rax
			"488d5c2408" + // leaq 8(%rsp), %rbx
			"83f802" + // cmpl $2, %eax
			"746a" + // je second
			"83f804" + // cmpl $4, %eax
			"0f85aa000000" + // jne wrong
			"488b4b10" + // movq 16(%rbx), %rcx
			"80790120" + // cmpb $32, 1(%rcx)
			"0f859c000000" + // jne wrong
			"80790300" + // cmpb $0, 3(%rcx)
			"0f8592000000" + // jne wrong
			"b839000000" + // movl $57, %eax ; fork
			"0f05" + // syscall
			"85c0" + // testl %eax, %eax
			"7517" + // jne parent
			"488b3b" + // movq (%rbx), %rdi
			"488d7310" + // leaq 16(%rbx), %rsi
			"31d2" + // xorl %edx, %edx
			"b83b000000" + // movl $59, %eax ; execve
			"0f05" + // syscall
			"bf16000000" + // movl $22, %edi
			"eb75" + // jmp exit
			"6a7f" + // parent: pushq $127
			"48c7c7ffffffff" + // movq $-1, %rdi
			"4889e6" + // movq %rsp, %rsi
			"31d2" + // xorl %edx, %edx
			"4531d2" + // xorl %r10d, %r10d
			"b83d000000" + // movl $61, %eax ; wait4
			"0f05" + // syscall
			"58" + // popq %rax
			"bf17000000" + // movl $23, %edi
			"a87f" + // testb $127, %al
			"7553" + // jne exit
			"0fb6fc" + // movzbl %ah, %edi
			"eb4e" + // jmp exit
			"488b4b08" + // second: movq 8(%rbx), %rcx
			"803964" + // cmpb $100, (%rcx)
			"7540" + // jne wrong
			"bf0f000000" + // movl $15, %edi
			"488d3540000000" + // leaq action(%rip), %rsi
			"31d2" + // xorl %edx, %edx
			"41ba08000000" + // movl $8, %r10d
			"b80d000000" + // movl $13, %eax ; rt_sigaction
			"0f05" + // syscall
			"b827000000" + // movl $39, %eax ; getpid
			"0f05" + // syscall
			"89c7" + // movl %eax, %edi
			"be0f000000" + // movl $15, %esi
			"b83e000000" + // movl $62, %eax ; kill
			"0f05" + // syscall
			"bf18000000" + // unhandled: movl $24, %edi
			"eb0e" + // jmp exit
			"83ff0f" + // handler: cmpl $15, %edi
			"75f4" + // jne unhandled
			"31ff" + // xorl %edi, %edi
			"eb05" + // jmp exit
			"bf15000000" + // wrong: movl $21, %edi
			"b83c000000" + // exit: movl $60, %eax
			"0f05" + // syscall
			"3001010000000000" + // action: handler
			"0000000400000000" + // 0x4000000 ; SA_RESTORER, without which there is no handler here
			"3001010000000000" + // handler ; where the handler would return to
			"0000000000000000", // 0 ; mask
	},
	"386": {
		machine: elf.EM_386, class: elf.ELFCLASS32, order: binary.LittleEndian,
		code: "8b0424" + // start: movl (%esp), %eax
			"8d6c2404" + // leal 4(%esp), %ebp
			"83f802" + // cmpl $2, %eax
			"7464" + // je second
			"83f804" + // cmpl $4, %eax
			"0f85a2000000" + // jne wrong
			"8b5508" + // movl 8(%ebp), %edx
			"807a0120" + // cmpb $32, 1(%edx)
			"0f8595000000" + // jne wrong
			"807a0300" + // cmpb $0, 3(%edx)
			"0f858b000000" + // jne wrong
			"b802000000" + // movl $2, %eax ; fork
			"cd80" + // int $128
			"85c0" + // testl %eax, %eax
			"7516" + // jne parent
			"8b5d00" + // movl (%ebp), %ebx
			"8d4d08" + // leal 8(%ebp), %ecx
			"31d2" + // xorl %edx, %edx
			"b80b000000" + // movl $11, %eax ; execve
			"cd80" + // int $128
			"bb16000000" + // movl $22, %ebx
			"eb6f" + // jmp exit
			"6a7f" + // parent: pushl $127
			"bbffffffff" + // movl $-1, %ebx
			"89e1" + // movl %esp, %ecx
			"31d2" + // xorl %edx, %edx
			"31f6" + // xorl %esi, %esi
			"b872000000" + // movl $114, %eax ; wait4
			"cd80" + // int $128
			"58" + // popl %eax
			"bb17000000" + // movl $23, %ebx
			"a87f" + // testb $127, %al
			"7551" + // jne exit
			"0fb6dc" + // movzbl %ah, %ebx
			"eb4c" + // jmp exit
			"8b5504" + // second: movl 4(%ebp), %edx
			"803a64" + // cmpb $100, (%edx)
			"753f" + // jne wrong
			"bb0f000000" + // movl $15, %ebx
			"b917010100" + // movl $action, %ecx
			"31d2" + // xorl %edx, %edx
			"be08000000" + // movl $8, %esi
			"b8ae000000" + // movl $174, %eax ; rt_sigaction
			"cd80" + // int $128
			"b814000000" + // movl $20, %eax ; getpid
			"cd80" + // int $128
			"89c3" + // movl %eax, %ebx
			"b90f000000" + // movl $15, %ecx
			"b825000000" + // movl $37, %eax ; kill
			"cd80" + // int $128
			"bb18000000" + // unhandled: movl $24, %ebx
			"eb10" + // jmp exit
			"837c24040f" + // handler: cmpl $15, 4(%esp)
			"75f2" + // jne unhandled
			"31db" + // xorl %ebx, %ebx
			"eb05" + // jmp exit
			"bb15000000" + // wrong: movl $21, %ebx
			"b801000000" + // exit: movl $1, %eax
			"cd80" + // int $128
			"00010100" + // action: handler
			"00000000" + // 0 ; flags
			"00000000" + // 0 ; restorer
			"0000000000000000", // 0 ; mask
	},
	"arm64": {
		machine: elf.EM_AARCH64, class: elf.ELFCLASS64, order: binary.LittleEndian,
		code: "e00340f9" + // start: ldr x0, [sp]
			"f3230091" + // add x19, sp, #8
			"1f0800f1" + // cmp x0, #2
			"c0040054" + // b.eq second
			"1f1000f1" + // cmp x0, #4
			"21070054" + // b.ne wrong
			"620a40f9" + // ldr x2, [x19, #16]
			"43044039" + // ldrb w3, [x2, #1]
			"7f800071" + // cmp w3, #32
			"a1060054" + // b.ne wrong
			"430c4039" + // ldrb w3, [x2, #3]
			"63060035" + // cbnz w3, wrong
			"200280d2" + // mov x0, #17
			"010080d2" + // mov x1, #0
			"020080d2" + // mov x2, #0
			"030080d2" + // mov x3, #0
			"040080d2" + // mov x4, #0
			"881b80d2" + // mov x8, #220 ; clone, as fork
			"010000d4" + // svc #0
			"000100b5" + // cbnz x0, parent
			"600240f9" + // ldr x0, [x19]
			"61420091" + // add x1, x19, #16
			"020080d2" + // mov x2, #0
			"a81b80d2" + // mov x8, #221 ; execve
			"010000d4" + // svc #0
			"c00280d2" + // mov x0, #22
			"25000014" + // b exit
			"e00f80d2" + // parent: mov x0, #127
			"e00f1ff8" + // str x0, [sp, #-16]!
			"00008092" + // mov x0, #-1
			"e1030091" + // mov x1, sp
			"020080d2" + // mov x2, #0
			"030080d2" + // mov x3, #0
			"882080d2" + // mov x8, #260 ; wait4
			"010000d4" + // svc #0
			"e10340b9" + // ldr w1, [sp]
			"e00280d2" + // mov x0, #23
			"3f180072" + // tst w1, #127
			"21030054" + // b.ne exit
			"203c48d3" + // ubfx x0, x1, #8, #8
			"17000014" + // b exit
			"620640f9" + // second: ldr x2, [x19, #8]
			"43004039" + // ldrb w3, [x2]
			"7f900171" + // cmp w3, #100
			"41020054" + // b.ne wrong
			"e00180d2" + // mov x0, #15
			"81020010" + // adr x1, action
			"020080d2" + // mov x2, #0
			"030180d2" + // mov x3, #8
			"c81080d2" + // mov x8, #134 ; rt_sigaction
			"010000d4" + // svc #0
			"881580d2" + // mov x8, #172 ; getpid
			"010000d4" + // svc #0
			"e10180d2" + // mov x1, #15
			"281080d2" + // mov x8, #129 ; kill
			"010000d4" + // svc #0
			"000380d2" + // unhandled: mov x0, #24
			"06000014" + // b exit
			"1f3c0071" + // handler: cmp w0, #15
			"a1ffff54" + // b.ne unhandled
			"000080d2" + // mov x0, #0
			"02000014" + // b exit
			"a00280d2" + // wrong: mov x0, #21
			"a80b80d2" + // exit: mov x8, #93
			"010000d4" + // svc #0
			"00000000" + // 0 ; alignment
			"6001010000000000" + // action: handler
			"0000000000000000" + // 0 ; flags
			"0000000000000000" + // 0 ; restorer
			"0000000000000000", // 0 ; mask
	},
	"arm": {
		machine: elf.EM_ARM, class: elf.ELFCLASS32, order: binary.LittleEndian, flags: 0x5000000, // EABI version 5
		code: "00009de5" + // start: ldr r0, [sp]
			"04408de2" + // add r4, sp, #4
			"020050e3" + // cmp r0, #2
			"2200000a" + // beq second
			"040050e3" + // cmp r0, #4
			"3500001a" + // bne wrong
			"082094e5" + // ldr r2, [r4, #8]
			"0130d2e5" + // ldrb r3, [r2, #1]
			"200053e3" + // cmp r3, #32
			"3100001a" + // bne wrong
			"0330d2e5" + // ldrb r3, [r2, #3]
			"000053e3" + // cmp r3, #0
			"2e00001a" + // bne wrong
			"0270a0e3" + // mov r7, #2 ; fork
			"000000ef" + // svc #0
			"000050e3" + // cmp r0, #0
			"0600001a" + // bne parent
			"000094e5" + // ldr r0, [r4]
			"081084e2" + // add r1, r4, #8
			"0020a0e3" + // mov r2, #0
			"0b70a0e3" + // mov r7, #11 ; execve
			"000000ef" + // svc #0
			"1600a0e3" + // mov r0, #22
			"240000ea" + // b exit
			"7f00a0e3" + // parent: mov r0, #127
			"08002de5" + // str r0, [sp, #-8]!
			"0000e0e3" + // mvn r0, #0
			"0d10a0e1" + // mov r1, sp
			"0020a0e3" + // mov r2, #0
			"0030a0e3" + // mov r3, #0
			"7270a0e3" + // mov r7, #114 ; wait4
			"000000ef" + // svc #0
			"00109de5" + // ldr r1, [sp]
			"1700a0e3" + // mov r0, #23
			"7f0011e3" + // tst r1, #127
			"1800001a" + // bne exit
			"2104a0e1" + // lsr r0, r1, #8
			"ff0000e2" + // and r0, r0, #255
			"150000ea" + // b exit
			"042094e5" + // second: ldr r2, [r4, #4]
			"0030d2e5" + // ldrb r3, [r2]
			"640053e3" + // cmp r3, #100
			"1000001a" + // bne wrong
			"0f00a0e3" + // mov r0, #15
			"44108fe2" + // adr r1, action
			"0020a0e3" + // mov r2, #0
			"0830a0e3" + // mov r3, #8
			"ae70a0e3" + // mov r7, #174 ; rt_sigaction
			"000000ef" + // svc #0
			"1470a0e3" + // mov r7, #20 ; getpid
			"000000ef" + // svc #0
			"0f10a0e3" + // mov r1, #15
			"2570a0e3" + // mov r7, #37 ; kill
			"000000ef" + // svc #0
			"1800a0e3" + // unhandled: mov r0, #24
			"040000ea" + // b exit
			"0f0050e3" + // handler: cmp r0, #15
			"fbffff1a" + // bne unhandled
			"0000a0e3" + // mov r0, #0
			"000000ea" + // b exit
			"1500a0e3" + // wrong: mov r0, #21
			"0170a0e3" + // exit: mov r7, #1
			"000000ef" + // svc #0
			"34010100" + // action: handler
			"00000000" + // 0 ; flags
			"00000000" + // 0 ; restorer
			"0000000000000000", // 0 ; mask
	},
	"riscv64": {
		machine: elf.EM_RISCV, class: elf.ELFCLASS64, order: binary.LittleEndian,
		code: "03350100" + // start: ld a0, 0(sp)
			"13048100" + // addi s0, sp, 8
			"93062000" + // addi a3, zero, 2
			"630ed508" + // beq a0, a3, second
			"93064000" + // addi a3, zero, 4
			"6316d50e" + // bne a0, a3, wrong
			"03360401" + // ld a2, 16(s0)
			"03471600" + // lbu a4, 1(a2)
			"93060002" + // addi a3, zero, 32
			"631ed70c" + // bne a4, a3, wrong
			"03473600" + // lbu a4, 3(a2)
			"631a070c" + // bnez a4, wrong
			"13051001" + // addi a0, zero, 17
			"93050000" + // addi a1, zero, 0
			"13060000" + // addi a2, zero, 0
			"93060000" + // addi a3, zero, 0
			"13070000" + // addi a4, zero, 0
			"9308c00d" + // addi a7, zero, 220 ; clone, as fork
			"73000000" + // ecall
			"63100502" + // bnez a0, parent
			"03350400" + // ld a0, 0(s0)
			"93050401" + // addi a1, s0, 16
			"13060000" + // addi a2, zero, 0
			"9308d00d" + // addi a7, zero, 221 ; execve
			"73000000" + // ecall
			"13056001" + // addi a0, zero, 22
			"6f00c009" + // j exit
			"1305f007" + // parent: addi a0, zero, 127
			"2338a1fe" + // sd a0, -16(sp)
			"1305f0ff" + // addi a0, zero, -1
			"930501ff" + // addi a1, sp, -16
			"13060000" + // addi a2, zero, 0
			"93060000" + // addi a3, zero, 0
			"93084010" + // addi a7, zero, 260 ; wait4
			"73000000" + // ecall
			"832501ff" + // lw a1, -16(sp)
			"13057001" + // addi a0, zero, 23
			"13f6f507" + // andi a2, a1, 127
			"63160606" + // bnez a2, exit
			"13d58500" + // srli a0, a1, 8
			"1375f50f" + // andi a0, a0, 255
			"6f000006" + // j exit
			"03368400" + // second: ld a2, 8(s0)
			"03470600" + // lbu a4, 0(a2)
			"93064006" + // addi a3, zero, 100
			"6316d704" + // bne a4, a3, wrong
			"1305f000" + // addi a0, zero, 15
			"b7050100" + // lui a1, 16
			"93858518" + // addi a1, a1, 392 ; address of action
			"13060000" + // addi a2, zero, 0
			"93068000" + // addi a3, zero, 8
			"93086008" + // addi a7, zero, 134 ; rt_sigaction
			"73000000" + // ecall
			"9308c00a" + // addi a7, zero, 172 ; getpid
			"73000000" + // ecall
			"9305f000" + // addi a1, zero, 15
			"93081008" + // addi a7, zero, 129 ; kill
			"73000000" + // ecall
			"13058001" + // unhandled: addi a0, zero, 24
			"6f008001" + // j exit
			"9305f000" + // handler: addi a1, zero, 15
			"e31ab5fe" + // bne a0, a1, unhandled
			"13050000" + // addi a0, zero, 0
			"6f008000" + // j exit
			"13055001" + // wrong: addi a0, zero, 21
			"9308d005" + // exit: addi a7, zero, 93
			"73000000" + // ecall
			"00000000" + // 0 ; alignment
			"6801010000000000" + // action: handler
			"0000000000000000" + // 0 ; flags
			"0000000000000000", // 0 ; mask
	},
	"ppc64le": {
		machine: elf.EM_PPC64, class: elf.ELFCLASS64, order: binary.LittleEndian, flags: 0x2, // ABI version 2: the entry is code, not a descriptor
		code: "000061e8" + // start: ld 3, 0(1)
			"0800c139" + // addi 14, 1, 8
			"0200032c" + // cmpwi 3, 2
			"8c008241" + // beq second
			"0400032c" + // cmpwi 3, 4
			"dc008240" + // bne wrong
			"1000aee8" + // ld 5, 16(14)
			"0100c588" + // lbz 6, 1(5)
			"2000062c" + // cmpwi 6, 32
			"cc008240" + // bne wrong
			"0300c588" + // lbz 6, 3(5)
			"0000062c" + // cmpwi 6, 0
			"c0008240" + // bne wrong
			"02000038" + // li 0, 2 ; fork
			"02000044" + // sc
			"0000032c" + // cmpwi 3, 0
			"20008240" + // bne parent
			"00006ee8" + // ld 3, 0(14)
			"10008e38" + // addi 4, 14, 16
			"0000a038" + // li 5, 0
			"0b000038" + // li 0, 11 ; execve
			"02000044" + // sc
			"16006038" + // li 3, 22
			"98000048" + // b exit
			"7f006038" + // parent: li 3, 127
			"f0ff6190" + // stw 3, -16(1)
			"ffff6038" + // li 3, -1
			"f0ff8138" + // addi 4, 1, -16
			"0000a038" + // li 5, 0
			"0000c038" + // li 6, 0
			"72000038" + // li 0, 114 ; wait4
			"02000044" + // sc
			"f0ff8180" + // lwz 4, -16(1)
			"17006038" + // li 3, 23
			"7f008570" + // andi. 5, 4, 127
			"68008240" + // bne exit
			"3ec68354" + // rlwinm 3, 4, 24, 24, 31
			"60000048" + // b exit
			"0800aee8" + // second: ld 5, 8(14)
			"0000c588" + // lbz 6, 0(5)
			"6400062c" + // cmpwi 6, 100
			"4c008240" + // bne wrong
			"0f006038" + // li 3, 15
			"0100803c" + // lis 4, 1
			"78018438" + // addi 4, 4, 376 ; address of action
			"0000a038" + // li 5, 0
			"0800c038" + // li 6, 8
			"ad000038" + // li 0, 173 ; rt_sigaction
			"02000044" + // sc
			"14000038" + // li 0, 20 ; getpid
			"02000044" + // sc
			"0f008038" + // li 4, 15
			"25000038" + // li 0, 37 ; kill
			"02000044" + // sc
			"18006038" + // unhandled: li 3, 24
			"18000048" + // b exit
			"0f00032c" + // handler: cmpwi 3, 15
			"f4ff8240" + // bne unhandled
			"00006038" + // li 3, 0
			"08000048" + // b exit
			"15006038" + // wrong: li 3, 21
			"01000038" + // exit: li 0, 1
			"02000044" + // sc
			"00000000" + // 0 ; alignment
			"5801010000000000" + // action: handler
			"0000000000000000" + // 0 ; flags
			"0000000000000000" + // 0 ; restorer
			"0000000000000000", // 0 ; mask
	},
	"ppc64": {
		machine: elf.EM_PPC64, class: elf.ELFCLASS64, order: binary.BigEndian, flags: 0x2, // ABI version 2, as above
		code: "e8610000" + // start: ld 3, 0(1)
			"39c10008" + // addi 14, 1, 8
			"2c030002" + // cmpwi 3, 2
			"4182008c" + // beq second
			"2c030004" + // cmpwi 3, 4
			"408200dc" + // bne wrong
			"e8ae0010" + // ld 5, 16(14)
			"88c50001" + // lbz 6, 1(5)
			"2c060020" + // cmpwi 6, 32
			"408200cc" + // bne wrong
			"88c50003" + // lbz 6, 3(5)
			"2c060000" + // cmpwi 6, 0
			"408200c0" + // bne wrong
			"38000002" + // li 0, 2 ; fork
			"44000002" + // sc
			"2c030000" + // cmpwi 3, 0
			"40820020" + // bne parent
			"e86e0000" + // ld 3, 0(14)
			"388e0010" + // addi 4, 14, 16
			"38a00000" + // li 5, 0
			"3800000b" + // li 0, 11 ; execve
			"44000002" + // sc
			"38600016" + // li 3, 22
			"48000098" + // b exit
			"3860007f" + // parent: li 3, 127
			"9061fff0" + // stw 3, -16(1)
			"3860ffff" + // li 3, -1
			"3881fff0" + // addi 4, 1, -16
			"38a00000" + // li 5, 0
			"38c00000" + // li 6, 0
			"38000072" + // li 0, 114 ; wait4
			"44000002" + // sc
			"8081fff0" + // lwz 4, -16(1)
			"38600017" + // li 3, 23
			"7085007f" + // andi. 5, 4, 127
			"40820068" + // bne exit
			"5483c63e" + // rlwinm 3, 4, 24, 24, 31
			"48000060" + // b exit
			"e8ae0008" + // second: ld 5, 8(14)
			"88c50000" + // lbz 6, 0(5)
			"2c060064" + // cmpwi 6, 100
			"4082004c" + // bne wrong
			"3860000f" + // li 3, 15
			"3c800001" + // lis 4, 1
			"38840178" + // addi 4, 4, 376 ; address of action
			"38a00000" + // li 5, 0
			"38c00008" + // li 6, 8
			"380000ad" + // li 0, 173 ; rt_sigaction
			"44000002" + // sc
			"38000014" + // li 0, 20 ; getpid
			"44000002" + // sc
			"3880000f" + // li 4, 15
			"38000025" + // li 0, 37 ; kill
			"44000002" + // sc
			"38600018" + // unhandled: li 3, 24
			"48000018" + // b exit
			"2c03000f" + // handler: cmpwi 3, 15
			"4082fff4" + // bne unhandled
			"38600000" + // li 3, 0
			"48000008" + // b exit
			"38600015" + // wrong: li 3, 21
			"38000001" + // exit: li 0, 1
			"44000002" + // sc
			"00000000" + // 0 ; alignment
			"0000000000010158" + // action: handler
			"0000000000000000" + // 0 ; flags
			"0000000000000000" + // 0 ; restorer
			"0000000000000000", // 0 ; mask
	},
	"s390x": {
		machine: elf.EM_S390, class: elf.ELFCLASS64, order: binary.BigEndian,
		code: "e310f0000004" + // start: lg %r1, 0(%r15)
			"4170f008" + // la %r7, 8(%r15)
			"a71f0002" + // cghi %r1, 2
			"a784003a" + // je second
			"a71f0004" + // cghi %r1, 4
			"a7740057" + // jne wrong
			"e34070100004" + // lg %r4, 16(%r7)
			"95204001" + // cli 1(%r4), 32
			"a7740050" + // jne wrong
			"95004003" + // cli 3(%r4), 0
			"a774004c" + // jne wrong
			"0a02" + // svc 2 ; fork
			"1222" + // ltr %r2, %r2
			"a774000e" + // jne parent
			"e32070000004" + // lg %r2, 0(%r7)
			"41307010" + // la %r3, 16(%r7)
			"a7490000" + // lghi %r4, 0
			"0a0b" + // svc 11 ; execve
			"a7290016" + // lghi %r2, 22
			"a7f4003e" + // j exit
			"a7fbfff0" + // parent: aghi %r15, -16
			"e54cf000007f" + // mvhi 0(%r15), 127
			"a729ffff" + // lghi %r2, -1
			"b904003f" + // lgr %r3, %r15
			"a7490000" + // lghi %r4, 0
			"a7590000" + // lghi %r5, 0
			"0a72" + // svc 114 ; wait4
			"a7290017" + // lghi %r2, 23
			"917ff003" + // tm 3(%r15), 127
			"a774002a" + // jne exit
			"e320f0020090" + // llgc %r2, 2(%r15)
			"a7f40025" + // j exit
			"e34070080004" + // second: lg %r4, 8(%r7)
			"95644000" + // cli 0(%r4), 100
			"a774001c" + // jne wrong
			"a729000f" + // lghi %r2, 15
			"c0300000001b" + // larl %r3, action
			"a7490000" + // lghi %r4, 0
			"a7590008" + // lghi %r5, 8
			"0aae" + // svc 174 ; rt_sigaction
			"0a14" + // svc 20 ; getpid
			"a739000f" + // lghi %r3, 15
			"0a25" + // svc 37 ; kill
			"a7290018" + // unhandled: lghi %r2, 24
			"a7f4000c" + // j exit
			"a72e000f" + // handler: chi %r2, 15
			"a774fffa" + // jne unhandled
			"a7290000" + // lghi %r2, 0
			"a7f40004" + // j exit
			"a7290015" + // wrong: lghi %r2, 21
			"0a01" + // exit: svc 1
			"000000000001012c" + // action: handler
			"0000000000000000" + // 0 ; flags
			"0000000000000000" + // 0 ; restorer
			"0000000000000000", // 0 ; mask
	},
	"mips64le": {
		machine: elf.EM_MIPS, class: elf.ELFCLASS64, order: binary.LittleEndian, flags: 0x80000000, // MIPS64 release 2
		code: "0000a4df" + // start: ld $4, 0($29)
			"0800b067" + // daddiu $16, $29, 8
			"02000924" + // addiu $9, $0, 2
			"22008910" + // beq $4, $9, second
			"04000924" + // addiu $9, $0, 4
			"38008914" + // bne $4, $9, wrong
			"00000000" + // nop
			"10000ade" + // ld $10, 16($16)
			"01004b91" + // lbu $11, 1($10)
			"20000924" + // addiu $9, $0, 32
			"33006915" + // bne $11, $9, wrong
			"03004b91" + // lbu $11, 3($10)
			"31006015" + // bne $11, $0, wrong
			"c0130224" + // addiu $2, $0, 5056 ; fork
			"0c000000" + // syscall
			"07004014" + // bne $2, $0, parent
			"000004de" + // ld $4, 0($16)
			"10000566" + // daddiu $5, $16, 16
			"2d300000" + // daddu $6, $0, $0
			"c1130224" + // addiu $2, $0, 5057 ; execve
			"0c000000" + // syscall
			"29000010" + // b exit
			"16000424" + // addiu $4, $0, 22
			"7f000424" + // parent: addiu $4, $0, 127
			"f0ffa4af" + // sw $4, -16($29)
			"ffff0424" + // addiu $4, $0, -1
			"f0ffa567" + // daddiu $5, $29, -16
			"2d300000" + // daddu $6, $0, $0
			"2d380000" + // daddu $7, $0, $0
			"c3130224" + // addiu $2, $0, 5059 ; wait4
			"0c000000" + // syscall
			"f0ffa58f" + // lw $5, -16($29)
			"7f00a630" + // andi $6, $5, 127
			"1d00c014" + // bne $6, $0, exit
			"17000424" + // addiu $4, $0, 23
			"02220500" + // srl $4, $5, 8
			"1a000010" + // b exit
			"ff008430" + // andi $4, $4, 255
			"08000ade" + // second: ld $10, 8($16)
			"00004b91" + // lbu $11, 0($10)
			"64000924" + // addiu $9, $0, 100
			"14006915" + // bne $11, $9, wrong
			"0f000424" + // addiu $4, $0, 15
			"0100053c" + // lui $5, 1
			"8001a564" + // daddiu $5, $5, 384 ; address of action
			"2d300000" + // daddu $6, $0, $0
			"10000724" + // addiu $7, $0, 16
			"95130224" + // addiu $2, $0, 5013 ; rt_sigaction
			"0c000000" + // syscall
			"ae130224" + // addiu $2, $0, 5038 ; getpid
			"0c000000" + // syscall
			"2d204000" + // daddu $4, $2, $0
			"0f000524" + // addiu $5, $0, 15
			"c4130224" + // addiu $2, $0, 5060 ; kill
			"0c000000" + // syscall
			"07000010" + // unhandled: b exit
			"18000424" + // addiu $4, $0, 24
			"0f000524" + // handler: addiu $5, $0, 15
			"fcff8514" + // bne $4, $5, unhandled
			"00000000" + // nop
			"02000010" + // b exit
			"00000424" + // addiu $4, $0, 0
			"15000424" + // wrong: addiu $4, $0, 21
			"c2130224" + // exit: addiu $2, $0, 5058
			"0c000000" + // syscall
			"00000000" + // 0 ; alignment
			"0000000000000000" + // action: 0 ; flags, and nothing
			"5c01010000000000" + // handler
			"0000000000000000" + // 0 ; mask
			"0000000000000000", // 0
	},
	"mips64": {
		machine: elf.EM_MIPS, class: elf.ELFCLASS64, order: binary.BigEndian, flags: 0x80000000, // MIPS64 release 2
		code: "dfa40000" + // start: ld $4, 0($29)
			"67b00008" + // daddiu $16, $29, 8
			"24090002" + // addiu $9, $0, 2
			"10890022" + // beq $4, $9, second
			"24090004" + // addiu $9, $0, 4
			"14890038" + // bne $4, $9, wrong
			"00000000" + // nop
			"de0a0010" + // ld $10, 16($16)
			"914b0001" + // lbu $11, 1($10)
			"24090020" + // addiu $9, $0, 32
			"15690033" + // bne $11, $9, wrong
			"914b0003" + // lbu $11, 3($10)
			"15600031" + // bne $11, $0, wrong
			"240213c0" + // addiu $2, $0, 5056 ; fork
			"0000000c" + // syscall
			"14400007" + // bne $2, $0, parent
			"de040000" + // ld $4, 0($16)
			"66050010" + // daddiu $5, $16, 16
			"0000302d" + // daddu $6, $0, $0
			"240213c1" + // addiu $2, $0, 5057 ; execve
			"0000000c" + // syscall
			"10000029" + // b exit
			"24040016" + // addiu $4, $0, 22
			"2404007f" + // parent: addiu $4, $0, 127
			"afa4fff0" + // sw $4, -16($29)
			"2404ffff" + // addiu $4, $0, -1
			"67a5fff0" + // daddiu $5, $29, -16
			"0000302d" + // daddu $6, $0, $0
			"0000382d" + // daddu $7, $0, $0
			"240213c3" + // addiu $2, $0, 5059 ; wait4
			"0000000c" + // syscall
			"8fa5fff0" + // lw $5, -16($29)
			"30a6007f" + // andi $6, $5, 127
			"14c0001d" + // bne $6, $0, exit
			"24040017" + // addiu $4, $0, 23
			"00052202" + // srl $4, $5, 8
			"1000001a" + // b exit
			"308400ff" + // andi $4, $4, 255
			"de0a0008" + // second: ld $10, 8($16)
			"914b0000" + // lbu $11, 0($10)
			"24090064" + // addiu $9, $0, 100
			"15690014" + // bne $11, $9, wrong
			"2404000f" + // addiu $4, $0, 15
			"3c050001" + // lui $5, 1
			"64a50180" + // daddiu $5, $5, 384 ; address of action
			"0000302d" + // daddu $6, $0, $0
			"24070010" + // addiu $7, $0, 16
			"24021395" + // addiu $2, $0, 5013 ; rt_sigaction
			"0000000c" + // syscall
			"240213ae" + // addiu $2, $0, 5038 ; getpid
			"0000000c" + // syscall
			"0040202d" + // daddu $4, $2, $0
			"2405000f" + // addiu $5, $0, 15
			"240213c4" + // addiu $2, $0, 5060 ; kill
			"0000000c" + // syscall
			"10000007" + // unhandled: b exit
			"24040018" + // addiu $4, $0, 24
			"2405000f" + // handler: addiu $5, $0, 15
			"1485fffc" + // bne $4, $5, unhandled
			"00000000" + // nop
			"10000002" + // b exit
			"24040000" + // addiu $4, $0, 0
			"24040015" + // wrong: addiu $4, $0, 21
			"240213c2" + // exit: addiu $2, $0, 5058
			"0000000c" + // syscall
			"00000000" + // 0 ; alignment
			"0000000000000000" + // action: 0 ; flags, and nothing
			"000000000001015c" + // handler
			"0000000000000000" + // 0 ; mask
			"0000000000000000", // 0
	},
	"loong64": {
		machine: elf.EM_LOONGARCH, class: elf.ELFCLASS64, order: binary.LittleEndian,
		code: "6400c028" + // start: MOVV 0(R3), R4
			"7720c002" + // ADDV $8, R3, R23
			"0d088003" + // MOVW $2, R13
			"8d9c0058" + // BEQ R4, R13, second
			"0d108003" + // MOVW $4, R13
			"8df4005c" + // BNE R4, R13, wrong
			"ee42c028" + // MOVV 16(R23), R14
			"cf05002a" + // MOVBU 1(R14), R15
			"0d808003" + // MOVW $32, R13
			"ede5005c" + // BNE R15, R13, wrong
			"cf0d002a" + // MOVBU 3(R14), R15
			"e0dd0044" + // BNE R15, wrong
			"04448003" + // MOVW $17, R4
			"05001500" + // MOVV R0, R5
			"06001500" + // MOVV R0, R6
			"07001500" + // MOVV R0, R7
			"08001500" + // MOVV R0, R8
			"0b708303" + // MOVW $220, R11 ; clone, as fork
			"00002b00" + // SYSCALL
			"80200044" + // BNE R4, parent
			"e402c028" + // MOVV 0(R23), R4
			"e542c002" + // ADDV $16, R23, R5
			"06001500" + // MOVV R0, R6
			"0b748303" + // MOVW $221, R11 ; execve
			"00002b00" + // SYSCALL
			"04588003" + // MOVW $22, R4
			"00a40050" + // JMP exit
			"04fc8103" + // parent: MOVW $127, R4
			"64c0bf29" + // MOVW R4, -16(R3)
			"04fcff02" + // MOVW $-1, R4
			"65c0ff02" + // ADDV $-16, R3, R5
			"06001500" + // MOVV R0, R6
			"07001500" + // MOVV R0, R7
			"0b108403" + // MOVW $260, R11 ; wait4
			"00002b00" + // SYSCALL
			"65c0bf28" + // MOVW -16(R3), R5
			"045c8003" + // MOVW $23, R4
			"a6fc4103" + // AND $127, R5, R6
			"c0740044" + // BNE R6, exit
			"a4204500" + // SRLV $8, R5, R4
			"84fc4303" + // AND $255, R4, R4
			"00680050" + // JMP exit
			"ee22c028" + // second: MOVV 8(R23), R14
			"cf01002a" + // MOVBU 0(R14), R15
			"0d908103" + // MOVW $100, R13
			"ed55005c" + // BNE R15, R13, wrong
			"043c8003" + // MOVW $15, R4
			"05020014" + // MOVW $0x10000, R5
			"a540c602" + // ADDV $400, R5, R5 ; address of action
			"06001500" + // MOVV R0, R6
			"07208003" + // MOVW $8, R7
			"0b188203" + // MOVW $134, R11 ; rt_sigaction
			"00002b00" + // SYSCALL
			"0bb08203" + // MOVW $172, R11 ; getpid
			"00002b00" + // SYSCALL
			"053c8003" + // MOVW $15, R5
			"0b048203" + // MOVW $129, R11 ; kill
			"00002b00" + // SYSCALL
			"00004003" + // NOOP
			"00004003" + // NOOP
			"04608003" + // unhandled: MOVW $24, R4
			"00180050" + // JMP exit
			"0d3c8003" + // handler: MOVW $15, R13
			"8df4ff5f" + // BNE R4, R13, unhandled
			"04001500" + // MOVV R0, R4
			"00080050" + // JMP exit
			"04548003" + // wrong: MOVW $21, R4
			"0b748103" + // exit: MOVW $93, R11
			"00002b00" + // SYSCALL
			"00000000" + // WORD 0 ; alignment
			"7001010000000000" + // action: handler
			"0000000000000000" + // 0 ; flags
			"0000000000000000", // 0 ; mask
	},
}
