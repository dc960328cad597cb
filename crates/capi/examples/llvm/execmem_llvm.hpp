/* Memory of execmem for the code of LLVM's MCJIT: one allocation a section, all of one window.
 *
 * LLVM writes a section through a pointer that is not the one at which it is executed or read: the writable view of its
 * draft, or where there is none, a buffer. References are computed for the address of the allocation. */
#ifndef EXECMEM_LLVM_HPP
#define EXECMEM_LLVM_HPP

#include <execmem.h>
#include <llvm/ExecutionEngine/ExecutionEngine.h>
#include <llvm/ExecutionEngine/RTDyldMemoryManager.h>
#include <memory>
#include <string>
#include <vector>

class ExecmemSections : public llvm::RTDyldMemoryManager {
public:
    /* `memory` outlives the engine that owns this. */
    explicit ExecmemSections(execmem_memory *memory) : memory(memory) {}

    ~ExecmemSections() override {
        deregisterEHFrames();
        for (Section &section : sections)
            execmem_free(section.allocation);
    }

    uint8_t *allocateCodeSection(uintptr_t size, unsigned alignment, unsigned, llvm::StringRef) override {
        return allocate(EXECMEM_TEXT, size, alignment);
    }

    uint8_t *allocateDataSection(uintptr_t size, unsigned alignment, unsigned, llvm::StringRef, bool isReadOnly) override {
        return allocate(isReadOnly ? EXECMEM_RODATA : EXECMEM_DATA, size, alignment);
    }

    /* All sections of an object have content, and no reference is computed yet. */
    void notifyObjectLoaded(llvm::ExecutionEngine *engine, const llvm::object::ObjectFile &) override {
        for (size_t index = loaded; index < sections.size(); index++)
            engine->mapSectionAddress(sections[index].written, address(sections[index]));
        loaded = sections.size();
    }

    /* Unwinders read frames where they are published. */
    void registerEHFrames(uint8_t *, uint64_t address, size_t size) override { fresh.push_back({address, size}); }

    void deregisterEHFrames() override {
        for (const Frames &frames : registered)
            deregisterEHFramesInProcess(reinterpret_cast<uint8_t *>(frames.address), frames.size);
        registered.clear();
    }

    /* True if it fails: the opposite of what it seems. */
    bool finalizeMemory(std::string *why) override {
        for (; published < sections.size(); published++)
            if (publish(sections[published]) != EXECMEM_OK)
                return refuse(why);
        for (const Frames &frames : fresh) {
            registerEHFramesInProcess(reinterpret_cast<uint8_t *>(frames.address), frames.size);
            registered.push_back(frames);
        }
        fresh.clear();
        return false;
    }

private:
    struct Section {
        execmem_allocation *allocation;
        uint8_t *written;
        /* What is not written through a view. */
        std::unique_ptr<uint8_t[]> buffer;
        size_t size;
    };

    struct Frames {
        uint64_t address;
        size_t size;
    };

    execmem_memory *memory;
    std::vector<Section> sections;
    /* How many sections have their address, and how many are published. */
    size_t loaded = 0, published = 0;
    std::vector<Frames> fresh, registered;

    static uint64_t address(const Section &section) {
        return reinterpret_cast<uint64_t>(execmem_address(section.allocation));
    }

    /* Null if memory is exhausted, which LLVM makes a fatal error. */
    uint8_t *allocate(execmem_kind kind, uintptr_t size, unsigned alignment) {
        Section section = {nullptr, nullptr, nullptr, size ? size : 1};
        unsigned aligned = alignment ? alignment : 16;
        if (execmem_alloc_aligned(memory, kind, section.size, aligned, 0, &section.allocation) != EXECMEM_OK)
            return nullptr;
        section.written = static_cast<uint8_t *>(execmem_writable(section.allocation));
        if (!section.written) {
            section.buffer.reset(new uint8_t[section.size + aligned]());
            uintptr_t start = reinterpret_cast<uintptr_t>(section.buffer.get());
            section.written = section.buffer.get() + (-start & (aligned - 1));
        }
        sections.push_back(std::move(section));
        return sections.back().written;
    }

    static execmem_status publish(Section &section) {
        execmem_status status = EXECMEM_OK;
        if (section.buffer)
            status = execmem_write(section.allocation, 0, section.written, section.size);
        section.buffer.reset();
        return status != EXECMEM_OK ? status : execmem_publish_allocation(section.allocation);
    }

    static bool refuse(std::string *why) {
        char text[200];
        execmem_error_text(text, sizeof text);
        if (why)
            *why = text;
        return true;
    }
};

#endif
