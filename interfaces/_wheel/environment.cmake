# Lets a stock ament_cmake interface package build against the ROS 2 wheels of a Python environment.
#
# CMake includes this file right after project() (CMAKE_PROJECT_INCLUDE, set in each pyproject.toml); a ROS
# distribution never sees it. Only what rclpy needs is built: the C structures, the Python bindings and the
# C type supports. That takes a quarter of the time of a full build.

find_package(Python3 REQUIRED COMPONENTS Interpreter Development.Module NumPy)
execute_process(
  COMMAND "${Python3_EXECUTABLE}" -c
    "import sys; print(sys.prefix, 'lib/python%d.%d/site-packages' % sys.version_info[:2], sep=';', end='')"
  OUTPUT_VARIABLE _environment
  COMMAND_ERROR_IS_FATAL ANY)
list(GET _environment 0 _prefix)
list(GET _environment 1 PYTHON_INSTALL_DIR)  # read by ament_cmake_python
set(ENV{AMENT_PREFIX_PATH} "${_prefix}")
list(PREPEND CMAKE_PREFIX_PATH "${_prefix}")

# The generators register themselves in AMENT_EXTENSIONS_rosidl_generate_idl_interfaces when
# rosidl_default_generators is found: drop those of C++ before they are used. Introspection
# stays: with a single type support no dispatch library is built, and the middleware then prints an error for
# each message type that it meets.
macro(find_package)
  _find_package(${ARGV})
  if("${ARGV0}" STREQUAL "rosidl_default_generators")
    list(FILTER AMENT_EXTENSIONS_rosidl_generate_idl_interfaces
      EXCLUDE REGEX "(generator_cpp|_cpp:)")
  endif()
endmacro()

# The wheels were built in folders that exist on no other machine and export them as include folders.
function(_drop_foreign_include_folders)
  get_property(_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(_target IN LISTS _targets)
    get_target_property(_folders ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    if(_folders MATCHES "/opt/python/")
      list(FILTER _folders EXCLUDE REGEX "^/opt/python/")
      set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_folders}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL _drop_foreign_include_folders)

# Most of the compile time goes into the same headers: read them once for several generated files.
function(_compile_several_files_at_once)
  foreach(_part IN ITEMS typesupport_fastrtps_c generator_py)
    set(_target ${PROJECT_NAME}__rosidl_${_part})
    if(TARGET ${_target})  # none in a package that has stepped aside
      set_target_properties(${_target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL _compile_several_files_at_once)
