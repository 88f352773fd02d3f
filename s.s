home:
L0: mov    %rdx,%r15
L1: cmpl   $0x80,0x8(%rsi)
L2: jne    chain
L3: mov    0xa8(%r15),%r14
L4: lea    -0x1(%r14),%rax
L5: lea    home(%rip),%rbx
find:
L6: cmp    %rbx,%r14
L7: jb     elsewhere
L8: cmp    0x280(%rbx),%r14
L9: jb     sent
elsewhere:
L10: mov    0x298(%rbx),%rdi
L11: mov    0x2a0(%rbx),%rcx
L12: jrcxz  next
L13: repnz  scas %es:(%rdi),%rax
L14: je     ours
next:
L15: mov    0x288(%rbx),%rbx
L16: test   %rbx,%rbx
L17: jne    find
L18: test   $0xfff,%r14d
L19: je     chain
L20: cmpb   $0xcc,-0x1(%r14)
L21: je     chain
L22: cmpw   $0x3cd,-0x2(%r14)
L23: jne    out
chain:
L24: mov    home+696(%rip),%r11
L25: cmp    $0x1,%r11
L26: jbe    out
L27: mov    $0x5,%edi
L28: mov    %r15,%rdx
L29: jmp    *%r11
sent:
L30: cmpb   $0x0,home+680(%rip)
L31: je     out
L32: mov    $0xba,%eax
L33: syscall
L34: mov    %eax,%ebp
L35: mov    $36,%r12d
L36: lea    home+736(%rip),%rbx
waiting:
L37: cmp    %ebp,0x4(%rbx)
L38: jne    other
L39: movzbl (%rbx),%edx
L40: test   %edx,%edx
L41: je     other
L42: mov    $0x27,%eax
L43: syscall
L44: mov    %eax,%edi
L45: mov    %ebp,%esi
L46: mov    $0xea,%eax
L47: syscall
other:
L48: add    $0x8,%rbx
L49: dec    %r12d
L50: jne    waiting
out:
L51: ret
ours:
L52: sub    0x298(%rbx),%rdi
L53: mov    %rdi,%rcx
L54: shr    $0x3,%rcx
L55: mov    0x2a0(%rbx),%rdx
L56: lea    -0x1(%rcx,%rdx,8),%rcx
L57: add    0x298(%rbx),%rcx
L58: cmpb   $0xcc,(%rcx)
L59: je     chain
L60: mov    %rax,0xa8(%r15)
L61: lea    0xfc0(%rbx,%rdi,8),%rbp
L62: push   %rax
L63: cmpb   $0x0,home+680(%rip)
L64: je     copy
L65: lea    home+616(%rip),%rdi
L66: mov    $0x80002,%esi
L67: xor    %edx,%edx
L68: mov    $0x2,%eax
L69: syscall
L70: test   %eax,%eax
L71: js     copy
L72: mov    %eax,%r13d
L73: xor    %r9d,%r9d
rank:
L74: lea    home(%rip),%rbx
region:
L75: cmpb   $0x0,0x290(%rbx)
L76: je     after
L77: mov    0x298(%rbx),%r12
L78: xor    %r8d,%r8d
site:
L79: cmp    0x2a0(%rbx),%r8
L80: jae    healed
L81: mov    0x2a0(%rbx),%rcx
L82: lea    (%rcx,%rcx,8),%rcx
L83: add    %r12,%rcx
L84: cmp    %r9b,(%rcx,%r8)
L85: jne    on
L86: mov    (%r12,%r8,8),%r10
L87: mov    %rsp,%rsi
L88: mov    $0x8,%edx
L89: mov    $0x11,%eax
L90: call   some
L91: cmpb   $0xcc,(%rsp)
L92: jne    on
L93: mov    0x2b0(%rbx),%rdx
L94: test   %rdx,%rdx
L95: je     write
L96: mov    %r8,%rcx
L97: shl    $0x4,%rcx
L98: add    %rcx,%rdx
L99: mov    (%rdx),%rax
L100: xor    (%rsp),%rax
L101: test   %rax,0x8(%rdx)
L102: jne    on
write:
L103: mov    0x2a0(%rbx),%rsi
L104: lea    (%r12,%rsi,8),%rsi
L105: add    %r8,%rsi
L106: mov    $0x12,%eax
L107: call   one
on:
L108: inc    %r8
L109: jmp    site
healed:
L110: cmp    $0x3,%r9d
L111: jne    after
L112: cmpq   $0x0,0x2b0(%rbx)
L113: jne    after
L114: movb   $0x0,(%rsp)
L115: lea    0x290(%rbx),%r10
L116: mov    %rsp,%rsi
L117: mov    $0x12,%eax
L118: call   one
after:
L119: mov    0x288(%rbx),%rbx
L120: test   %rbx,%rbx
L121: jne    region
L122: inc    %r9d
L123: cmp    $0x3,%r9d
L124: jbe    rank
L125: mov    %r13d,%edi
L126: mov    $0x3,%eax
L127: syscall
L128: cmpb   $0xcc,-0x1(%r14)
L129: jne    back
copy:
L130: cmpb   $0x0,0x0(%rbp)
L131: je     wait
L132: mov    %rbp,0xa8(%r15)
back:
L133: pop    %rax
L134: ret
wait:
L135: push   $0xf4240
L136: push   $0x0
L137: mov    %rsp,%rdi
L138: xor    %esi,%esi
L139: mov    $0x23,%eax
L140: syscall
L141: add    $0x18,%rsp
L142: ret
one:
L143: mov    $0x1,%edx
some:
L144: mov    %r13d,%edi
L145: syscall
L146: ret
restorer:
L147: mov    $0xf,%eax
L148: syscall
L149:
