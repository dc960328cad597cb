/* 1,000 modules that LLVM compiles, in the memory of execmem: each has code, a counter and a table, and calls the program,
 * which may throw through it. Prints how many answers were right. An argument says how code is published, as in execmem.h, or
 * `own` for LLVM's own memory. */
#include "execmem_llvm.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <llvm/ExecutionEngine/MCJIT.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/TargetSelect.h>
#include <stdexcept>

static const int MODULES = 1000;

/* What the modules call. */
static int host(int number) {
    if (number < 0)
        throw std::out_of_range("negative");
    return number + 1;
}

/* run(n): table[n & 3] + host(n) + the calls so far + `number`. */
static std::unique_ptr<llvm::Module> make(llvm::LLVMContext &context, int number) {
    auto module = std::make_unique<llvm::Module>("module", context);
    llvm::Type *integer = llvm::Type::getInt32Ty(context);
    auto *type = llvm::FunctionType::get(integer, {integer}, false);
    auto *callee = llvm::Function::Create(type, llvm::Function::ExternalLinkage, "host", *module);
    auto *run = llvm::Function::Create(type, llvm::Function::ExternalLinkage, "run", *module);
    llvm::IRBuilder<> at(llvm::BasicBlock::Create(context, "", run));
    auto *entries = llvm::ArrayType::get(integer, 4);
    auto *values = llvm::ConstantArray::get(entries, {at.getInt32(0), at.getInt32(10), at.getInt32(20), at.getInt32(30)});
    auto *table = new llvm::GlobalVariable(*module, entries, true, llvm::GlobalValue::InternalLinkage, values, "table");
    auto *calls = new llvm::GlobalVariable(*module, integer, false, llvm::GlobalValue::InternalLinkage, at.getInt32(0));
    llvm::Value *argument = run->getArg(0);
    llvm::Value *entry = at.CreateGEP(entries, table, {at.getInt32(0), at.CreateAnd(argument, 3)});
    llvm::Value *sum = at.CreateAdd(at.CreateLoad(integer, entry), at.CreateCall(callee, {argument}));
    llvm::Value *so_far = at.CreateLoad(integer, calls);
    at.CreateStore(at.CreateAdd(so_far, at.getInt32(1)), calls);
    at.CreateRet(at.CreateAdd(at.CreateAdd(sum, so_far), at.getInt32(number)));
    return module;
}

static int mappings() {
    std::ifstream maps("/proc/self/maps");
    int lines = 0;
    for (std::string line; std::getline(maps, line);)
        lines++;
    return lines;
}

/* Compiles a module, in LLVM's own memory if there is no other. */
static std::unique_ptr<llvm::ExecutionEngine> compile(llvm::LLVMContext &context, execmem_memory *memory, int number) {
    auto module = make(context, number);
    llvm::Function *callee = module->getFunction("host");
    std::string why;
    llvm::EngineBuilder builder(std::move(module));
    builder.setEngineKind(llvm::EngineKind::JIT).setErrorStr(&why);
    if (memory)
        builder.setMCJITMemoryManager(std::make_unique<ExecmemSections>(memory));
    std::unique_ptr<llvm::ExecutionEngine> engine(builder.create());
    if (!engine) {
        std::fprintf(stderr, "%s\n", why.c_str());
        std::exit(1);
    }
    engine->addGlobalMapping(callee, reinterpret_cast<void *>(&host));
    engine->finalizeObject();
    return engine;
}

static bool throws(int (*run)(int)) {
    try {
        run(-1);
    } catch (const std::out_of_range &) {
        return true;
    }
    return false;
}

int main(int argc, char **argv) {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    llvm::LLVMContext context;
    execmem_memory *memory = nullptr;
    std::string argument = argc > 1 ? argv[1] : "0";
    execmem_publish way = static_cast<execmem_publish>(std::atoi(argument.c_str()));
    if (argument != "own" && execmem_create(0, way, &memory) != EXECMEM_OK) {
        std::fprintf(stderr, "no executable memory\n");
        return 1;
    }
    int right = 0, caught = 0, before = mappings();
    {
        std::vector<std::unique_ptr<llvm::ExecutionEngine>> engines;
        for (int number = 0; number < MODULES; number++)
            engines.push_back(compile(context, memory, number));
        for (int number = 0; number < MODULES; number++) {
            auto run = reinterpret_cast<int (*)(int)>(engines[number]->getFunctionAddress("run"));
            right += run(1) == 12 + number && run(7) == 39 + number;
            caught += throws(run);
        }
        std::fprintf(stderr, "%d mappings more\n", mappings() - before);
    }
    std::printf("%d modules, %d right, %d exceptions caught\n", MODULES, right, caught);
    execmem_destroy(memory);
    return right != MODULES || caught != MODULES;
}
