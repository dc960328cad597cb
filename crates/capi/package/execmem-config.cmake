# Targets: execmem::execmem (shared), execmem::static.
get_filename_component(_execmem_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET execmem::execmem)
    add_library(execmem::execmem SHARED IMPORTED)
    set_target_properties(execmem::execmem PROPERTIES
        IMPORTED_LOCATION "${_execmem_prefix}/lib/libexecmem_c.so"
        IMPORTED_NO_SONAME TRUE
        INTERFACE_INCLUDE_DIRECTORIES "${_execmem_prefix}/include")
    add_library(execmem::static STATIC IMPORTED)
    set_target_properties(execmem::static PROPERTIES
        IMPORTED_LOCATION "${_execmem_prefix}/lib/libexecmem_c.a"
        INTERFACE_INCLUDE_DIRECTORIES "${_execmem_prefix}/include"
        INTERFACE_LINK_LIBRARIES "pthread;dl;m;gcc_s")
endif()
unset(_execmem_prefix)
