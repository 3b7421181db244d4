package binfmt

import (
	"debug/elf"
	"encoding/binary"
)

// program is the check for one architecture, in machine code. What it does is
// the same for all of them:
//
//	start:  four arguments, the program's name included?
//	        then the third must have a space as its second byte and end after
//	        three: replace this process by argv[0] with the last two of the
//	        arguments, and exit with 22 where that fails
//	second: two arguments? then the second must begin with d: exit with 0
//	wrong:  exit with 21
//
// A registration whose flags do not suit its emulator shifts the arguments by
// one, and programs that look at none of them run all the same. That the check
// starts itself again shows that an emulated process can start others.
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
			"488d742408" + // leaq 8(%rsp), %rsi
			"83f802" + // cmpl $2, %eax
			"742c" + // je second
			"83f804" + // cmpl $4, %eax
			"7532" + // jne wrong
			"488b4e10" + // movq 16(%rsi), %rcx
			"80790120" + // cmpb $32, 1(%rcx)
			"7528" + // jne wrong
			"80790300" + // cmpb $0, 3(%rcx)
			"7522" + // jne wrong
			"488b3e" + // movq (%rsi), %rdi
			"4883c610" + // addq $16, %rsi
			"31d2" + // xorl %edx, %edx
			"b83b000000" + // movl $59, %eax
			"0f05" + // syscall
			"bf16000000" + // movl $22, %edi
			"eb10" + // jmp exit
			"488b4e08" + // second: movq 8(%rsi), %rcx
			"31ff" + // xorl %edi, %edi
			"803964" + // cmpb $100, (%rcx)
			"7405" + // je exit
			"bf15000000" + // wrong: movl $21, %edi
			"b83c000000" + // exit: movl $60, %eax
			"0f05", // syscall
	},
	"386": {
		machine: elf.EM_386, class: elf.ELFCLASS32, order: binary.LittleEndian,
		code: "8b0424" + // start: movl (%esp), %eax
			"8d742404" + // leal 4(%esp), %esi
			"83f802" + // cmpl $2, %eax
			"7429" + // je second
			"83f804" + // cmpl $4, %eax
			"752e" + // jne wrong
			"8b5608" + // movl 8(%esi), %edx
			"807a0120" + // cmpb $32, 1(%edx)
			"7525" + // jne wrong
			"807a0300" + // cmpb $0, 3(%edx)
			"751f" + // jne wrong
			"8b1e" + // movl (%esi), %ebx
			"8d4e08" + // leal 8(%esi), %ecx
			"31d2" + // xorl %edx, %edx
			"b80b000000" + // movl $11, %eax
			"cd80" + // int $128
			"bb16000000" + // movl $22, %ebx
			"eb0f" + // jmp exit
			"8b5604" + // second: movl 4(%esi), %edx
			"31db" + // xorl %ebx, %ebx
			"803a64" + // cmpb $100, (%edx)
			"7405" + // je exit
			"bb15000000" + // wrong: movl $21, %ebx
			"b801000000" + // exit: movl $1, %eax
			"cd80", // int $128
	},
	"arm64": {
		machine: elf.EM_AARCH64, class: elf.ELFCLASS64, order: binary.LittleEndian,
		code: "e00340f9" + // start: ldr x0, [sp]
			"e1230091" + // add x1, sp, #8
			"1f0800f1" + // cmp x0, #2
			"00020054" + // b.eq second
			"1f1000f1" + // cmp x0, #4
			"61020054" + // b.ne wrong
			"220840f9" + // ldr x2, [x1, #16]
			"43044039" + // ldrb w3, [x2, #1]
			"7f800071" + // cmp w3, #32
			"e1010054" + // b.ne wrong
			"430c4039" + // ldrb w3, [x2, #3]
			"a3010035" + // cbnz w3, wrong
			"200040f9" + // ldr x0, [x1]
			"21400091" + // add x1, x1, #16
			"020080d2" + // mov x2, #0
			"a81b80d2" + // mov x8, #221
			"010000d4" + // svc #0
			"c00280d2" + // mov x0, #22
			"07000014" + // b exit
			"220440f9" + // second: ldr x2, [x1, #8]
			"43004039" + // ldrb w3, [x2]
			"000080d2" + // mov x0, #0
			"7f900171" + // cmp w3, #100
			"40000054" + // b.eq exit
			"a00280d2" + // wrong: mov x0, #21
			"a80b80d2" + // exit: mov x8, #93
			"010000d4", // svc #0
	},
	"arm": {
		machine: elf.EM_ARM, class: elf.ELFCLASS32, order: binary.LittleEndian, flags: 0x5000000, // EABI version 5
		code: "00009de5" + // start: ldr r0, [sp]
			"04108de2" + // add r1, sp, #4
			"020050e3" + // cmp r0, #2
			"0f00000a" + // beq second
			"040050e3" + // cmp r0, #4
			"1200001a" + // bne wrong
			"082091e5" + // ldr r2, [r1, #8]
			"0130d2e5" + // ldrb r3, [r2, #1]
			"200053e3" + // cmp r3, #32
			"0e00001a" + // bne wrong
			"0330d2e5" + // ldrb r3, [r2, #3]
			"000053e3" + // cmp r3, #0
			"0b00001a" + // bne wrong
			"000091e5" + // ldr r0, [r1]
			"081081e2" + // add r1, r1, #8
			"0020a0e3" + // mov r2, #0
			"0b70a0e3" + // mov r7, #11
			"000000ef" + // svc #0
			"1600a0e3" + // mov r0, #22
			"050000ea" + // b exit
			"042091e5" + // second: ldr r2, [r1, #4]
			"0030d2e5" + // ldrb r3, [r2]
			"0000a0e3" + // mov r0, #0
			"640053e3" + // cmp r3, #100
			"0000000a" + // beq exit
			"1500a0e3" + // wrong: mov r0, #21
			"0170a0e3" + // exit: mov r7, #1
			"000000ef", // svc #0
	},
	"riscv64": {
		machine: elf.EM_RISCV, class: elf.ELFCLASS64, order: binary.LittleEndian,
		code: "03350100" + // start: ld a0, 0(sp)
			"93058100" + // addi a1, sp, 8
			"93062000" + // addi a3, zero, 2
			"6300d504" + // beq a0, a3, second
			"93064000" + // addi a3, zero, 4
			"6316d504" + // bne a0, a3, wrong
			"03b60501" + // ld a2, 16(a1)
			"03471600" + // lbu a4, 1(a2)
			"93060002" + // addi a3, zero, 32
			"631ed702" + // bne a4, a3, wrong
			"03473600" + // lbu a4, 3(a2)
			"631a0702" + // bnez a4, wrong
			"03b50500" + // ld a0, 0(a1)
			"93850501" + // addi a1, a1, 16
			"13060000" + // addi a2, zero, 0
			"9308d00d" + // addi a7, zero, 221
			"73000000" + // ecall
			"13056001" + // addi a0, zero, 22
			"6f00c001" + // j exit
			"03b68500" + // second: ld a2, 8(a1)
			"03470600" + // lbu a4, 0(a2)
			"13050000" + // addi a0, zero, 0
			"93064006" + // addi a3, zero, 100
			"6304d700" + // beq a4, a3, exit
			"13055001" + // wrong: addi a0, zero, 21
			"9308d005" + // exit: addi a7, zero, 93
			"73000000", // ecall
	},
	"ppc64le": {
		machine: elf.EM_PPC64, class: elf.ELFCLASS64, order: binary.LittleEndian, flags: 0x2, // ABI version 2: the entry is code, not a descriptor
		code: "000061e8" + // start: ld 3, 0(1)
			"08008138" + // addi 4, 1, 8
			"0200032c" + // cmpwi 3, 2
			"44008241" + // beq second
			"0400032c" + // cmpwi 3, 4
			"50008240" + // bne wrong
			"1000a4e8" + // ld 5, 16(4)
			"0100c588" + // lbz 6, 1(5)
			"2000062c" + // cmpwi 6, 32
			"40008240" + // bne wrong
			"0300c588" + // lbz 6, 3(5)
			"0000062c" + // cmpwi 6, 0
			"34008240" + // bne wrong
			"000064e8" + // ld 3, 0(4)
			"10008438" + // addi 4, 4, 16
			"0000a038" + // li 5, 0
			"0b000038" + // li 0, 11
			"02000044" + // sc
			"16006038" + // li 3, 22
			"1c000048" + // b exit
			"0800a4e8" + // second: ld 5, 8(4)
			"0000c588" + // lbz 6, 0(5)
			"00006038" + // li 3, 0
			"6400062c" + // cmpwi 6, 100
			"08008241" + // beq exit
			"15006038" + // wrong: li 3, 21
			"01000038" + // exit: li 0, 1
			"02000044", // sc
	},
	"ppc64": {
		machine: elf.EM_PPC64, class: elf.ELFCLASS64, order: binary.BigEndian, flags: 0x2, // ABI version 2, as above
		code: "e8610000" + // start: ld 3, 0(1)
			"38810008" + // addi 4, 1, 8
			"2c030002" + // cmpwi 3, 2
			"41820044" + // beq second
			"2c030004" + // cmpwi 3, 4
			"40820050" + // bne wrong
			"e8a40010" + // ld 5, 16(4)
			"88c50001" + // lbz 6, 1(5)
			"2c060020" + // cmpwi 6, 32
			"40820040" + // bne wrong
			"88c50003" + // lbz 6, 3(5)
			"2c060000" + // cmpwi 6, 0
			"40820034" + // bne wrong
			"e8640000" + // ld 3, 0(4)
			"38840010" + // addi 4, 4, 16
			"38a00000" + // li 5, 0
			"3800000b" + // li 0, 11
			"44000002" + // sc
			"38600016" + // li 3, 22
			"4800001c" + // b exit
			"e8a40008" + // second: ld 5, 8(4)
			"88c50000" + // lbz 6, 0(5)
			"38600000" + // li 3, 0
			"2c060064" + // cmpwi 6, 100
			"41820008" + // beq exit
			"38600015" + // wrong: li 3, 21
			"38000001" + // exit: li 0, 1
			"44000002", // sc
	},
	"s390x": {
		machine: elf.EM_S390, class: elf.ELFCLASS64, order: binary.BigEndian,
		code: "e310f0000004" + // start: lg %r1, 0(%r15)
			"4130f008" + // la %r3, 8(%r15)
			"a71f0002" + // cghi %r1, 2
			"a784001d" + // je second
			"a71f0004" + // cghi %r1, 4
			"a7740022" + // jne wrong
			"e34030100004" + // lg %r4, 16(%r3)
			"95204001" + // cli 1(%r4), 32
			"a774001b" + // jne wrong
			"95004003" + // cli 3(%r4), 0
			"a7740017" + // jne wrong
			"e32030000004" + // lg %r2, 0(%r3)
			"41303010" + // la %r3, 16(%r3)
			"a7490000" + // lghi %r4, 0
			"0a0b" + // svc 11
			"a7290016" + // lghi %r2, 22
			"a7f4000d" + // j exit
			"e34030080004" + // second: lg %r4, 8(%r3)
			"a7290000" + // lghi %r2, 0
			"95644000" + // cli 0(%r4), 100
			"a7840004" + // je exit
			"a7290015" + // wrong: lghi %r2, 21
			"0a01", // exit: svc 1
	},
	"mips64le": {
		machine: elf.EM_MIPS, class: elf.ELFCLASS64, order: binary.LittleEndian, flags: 0x80000000, // MIPS64 release 2
		code: "0000a4df" + // start: ld $4, 0($29)
			"0800a867" + // daddiu $8, $29, 8
			"02000924" + // addiu $9, $0, 2
			"11008910" + // beq $4, $9, second
			"04000924" + // addiu $9, $0, 4
			"14008914" + // bne $4, $9, wrong
			"00000000" + // nop
			"10000add" + // ld $10, 16($8)
			"01004b91" + // lbu $11, 1($10)
			"20000924" + // addiu $9, $0, 32
			"0f006915" + // bne $11, $9, wrong
			"03004b91" + // lbu $11, 3($10)
			"0d006015" + // bne $11, $0, wrong
			"00000000" + // nop
			"000004dd" + // ld $4, 0($8)
			"10000565" + // daddiu $5, $8, 16
			"2d300000" + // daddu $6, $0, $0
			"c1130224" + // addiu $2, $0, 5057
			"0c000000" + // syscall
			"07000010" + // b exit
			"16000424" + // addiu $4, $0, 22
			"08000add" + // second: ld $10, 8($8)
			"00004b91" + // lbu $11, 0($10)
			"64000924" + // addiu $9, $0, 100
			"02006911" + // beq $11, $9, exit
			"00000424" + // addiu $4, $0, 0
			"15000424" + // wrong: addiu $4, $0, 21
			"c2130224" + // exit: addiu $2, $0, 5058
			"0c000000", // syscall
	},
	"mips64": {
		machine: elf.EM_MIPS, class: elf.ELFCLASS64, order: binary.BigEndian, flags: 0x80000000, // MIPS64 release 2
		code: "dfa40000" + // start: ld $4, 0($29)
			"67a80008" + // daddiu $8, $29, 8
			"24090002" + // addiu $9, $0, 2
			"10890011" + // beq $4, $9, second
			"24090004" + // addiu $9, $0, 4
			"14890014" + // bne $4, $9, wrong
			"00000000" + // nop
			"dd0a0010" + // ld $10, 16($8)
			"914b0001" + // lbu $11, 1($10)
			"24090020" + // addiu $9, $0, 32
			"1569000f" + // bne $11, $9, wrong
			"914b0003" + // lbu $11, 3($10)
			"1560000d" + // bne $11, $0, wrong
			"00000000" + // nop
			"dd040000" + // ld $4, 0($8)
			"65050010" + // daddiu $5, $8, 16
			"0000302d" + // daddu $6, $0, $0
			"240213c1" + // addiu $2, $0, 5057
			"0000000c" + // syscall
			"10000007" + // b exit
			"24040016" + // addiu $4, $0, 22
			"dd0a0008" + // second: ld $10, 8($8)
			"914b0000" + // lbu $11, 0($10)
			"24090064" + // addiu $9, $0, 100
			"11690002" + // beq $11, $9, exit
			"24040000" + // addiu $4, $0, 0
			"24040015" + // wrong: addiu $4, $0, 21
			"240213c2" + // exit: addiu $2, $0, 5058
			"0000000c", // syscall
	},
	"loong64": {
		machine: elf.EM_LOONGARCH, class: elf.ELFCLASS64, order: binary.LittleEndian,
		code: "6400c028" + // start: MOVV 0(R3), R4
			"6c20c002" + // ADDV $8, R3, R12
			"0d088003" + // MOVW $2, R13
			"8d400058" + // BEQ R4, R13, second
			"0d108003" + // MOVW $4, R13
			"8d4c005c" + // BNE R4, R13, wrong
			"8e41c028" + // MOVV 16(R12), R14
			"cf05002a" + // MOVBU 1(R14), R15
			"0d808003" + // MOVW $32, R13
			"ed3d005c" + // BNE R15, R13, wrong
			"cf0d002a" + // MOVBU 3(R14), R15
			"e0350044" + // BNE R15, wrong
			"8401c028" + // MOVV 0(R12), R4
			"8541c002" + // ADDV $16, R12, R5
			"06001500" + // MOVV R0, R6
			"0b748303" + // MOVW $221, R11
			"00002b00" + // SYSCALL
			"04588003" + // MOVW $22, R4
			"001c0050" + // JMP exit
			"8e21c028" + // second: MOVV 8(R12), R14
			"cf01002a" + // MOVBU 0(R14), R15
			"04001500" + // MOVV R0, R4
			"0d908103" + // MOVW $100, R13
			"ed090058" + // BEQ R15, R13, exit
			"04548003" + // wrong: MOVW $21, R4
			"0b748103" + // exit: MOVW $93, R11
			"00002b00", // SYSCALL
	},
}
