/* A plugin of QEMU that counts the instructions a guest executes between two marks, block by block.
 *
 * A mark is a system call that no program makes in earnest: sched_get_priority_max of a policy that does not exist.
 * MARK_START forgets what was counted so far; MARK_STOP writes one line a block to the file that the argument out=
 * names: its first address and its length in bytes (hexadecimal), its instructions, how often it was executed.
 * The counters are plain additions, made without a lock: exact as long as one thread of the guest computes.
 */

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qemu-plugin.h>

#define SYS_SCHED_GET_PRIORITY_MAX 125 /* aarch64 */
#define MARK_START 0x1b30
#define MARK_STOP 0x1b31

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct block {
    uint64_t address, bytes, instructions, executions, at_start;
    struct block *next;
};

static struct block *blocks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *output;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    struct block *block = calloc(1, sizeof *block);
    if (block == NULL) {
        abort();
    }
    block->address = qemu_plugin_tb_vaddr(tb);
    block->instructions = qemu_plugin_tb_n_insns(tb);
    block->bytes = 4 * block->instructions; /* every instruction of A64 has four bytes */
    pthread_mutex_lock(&lock);
    block->next = blocks;
    blocks = block;
    pthread_mutex_unlock(&lock);
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &block->executions, 1);
}

static void start(void) {
    for (struct block *block = blocks; block != NULL; block = block->next) {
        block->at_start = block->executions;
    }
}

static void stop(void) {
    FILE *file = fopen(output, "w");
    if (file == NULL) {
        perror(output);
        exit(1);
    }
    for (struct block *block = blocks; block != NULL; block = block->next) {
        uint64_t executions = block->executions - block->at_start;
        if (executions != 0) {
            fprintf(file, "%" PRIx64 " %" PRIx64 " %" PRIu64 " %" PRIu64 "\n", block->address, block->bytes,
                    block->instructions, executions);
        }
    }
    fclose(file);
}

static void system_call(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                        uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    if (number != SYS_SCHED_GET_PRIORITY_MAX || (a1 != MARK_START && a1 != MARK_STOP)) {
        return;
    }
    pthread_mutex_lock(&lock);
    if (a1 == MARK_START) {
        start();
    } else {
        stop();
    }
    pthread_mutex_unlock(&lock);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
        fprintf(stderr, "count: needs the argument out=FILE\n");
        return -1;
    }
    output = strdup(argv[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, system_call);
    return 0;
}
